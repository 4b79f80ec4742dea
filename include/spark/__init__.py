"""How the platform's Spark jobs are launched, watched and ended on a standalone cluster."""
