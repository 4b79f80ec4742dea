"""Everything that the DAGs and the Spark jobs call. Each package is one noun; see README.md for the map."""
