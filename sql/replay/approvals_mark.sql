-- Changes whenever dead letters of a stream are approved under a contract version.
SELECT count(), max(approved_at), sum(cityHash64(run, partition, record_offset))
FROM replay_approvals
WHERE stream = %(stream)s AND contract_version = %(version)s
