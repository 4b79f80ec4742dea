-- Mutations of a table that are not done.
SELECT mutation_id FROM system.mutations
WHERE database = currentDatabase() AND table = %(table)s AND is_done = 0
