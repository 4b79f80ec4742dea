"""`make demo`: the main job end to end through Airflow's REST API, and the report that ends it."""
