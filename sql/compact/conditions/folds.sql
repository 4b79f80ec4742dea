{#- What earlier runs folded of a stream. -#}
stream = %(stream)s AND version < %(version)s
