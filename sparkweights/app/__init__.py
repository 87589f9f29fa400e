"""The application: a configuration on a Spark session."""
