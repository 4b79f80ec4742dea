"""The commit, takeover, seal and compaction protocol as an executable model, and a checker for it.

Tables hold sets of record offsets instead of figures, so that "lost" and "counted twice" are seen
exactly. Every rule can be switched back to a weaker one (`Rules`); the checker must then find a
trace that breaks an invariant. Plain Python and no service, but for replay.

state        what is durable (`Tables`) and what a crash forgets (the processes)
world        a configuration: the raw log, who takes part, and the rules
reading      what the tables say: valid batches, frontier, certificate in force, the served view
driver, sealer, reader, compactor, environment      what each may do; every step is atomic against the tables
actions      all that may happen next in a state
invariants   what must hold in every state, for every finished query, and at rest
checker      breadth-first search and seeded random walks
worlds       the configurations that are searched
weakenings   every rule switched off, with the smallest world that shows what it is for
replay       the same traces against the product's code on real Kafka and ClickHouse

`python -m tests.protocol` searches the large worlds too and walks for longer.
"""
