"""Replays traces of the model against the product's code on real Kafka and ClickHouse, step by step.

gate       lets an actor's real code run one step of the model at a time
platform   the raw log in Kafka, the tables, and what the served view holds
versions   the contract versions of drivers, and what records they accept
driver, sealer, compactor, query, letters      the actors: what the model does in a step, done by the product
lockstep   moves model and platform together and compares them after every step
weaker     the product's rules switched off, so that a replay is seen to fail
"""
