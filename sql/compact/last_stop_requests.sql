-- The newest generation of each stream that was asked to stop: drivers ask for no other.
SELECT stream, max(generation) AS newest FROM stop_requests GROUP BY stream
