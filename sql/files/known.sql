-- What is known of files of a stream, by their bytes or by their names, newest last.
SELECT digest, name, state, published_ms, run
FROM files FINAL
WHERE stream = %(stream)s AND (digest IN %(digests)s OR name IN %(names)s)
ORDER BY published_ms, name, digest
