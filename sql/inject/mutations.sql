-- Mutations of a table, and whether each is done.
SELECT mutation_id, is_done FROM system.mutations WHERE database = currentDatabase() AND table = %(table)s
