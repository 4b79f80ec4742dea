"""Incidents: what people must know of, told to them once through Airflow's notifiers."""
