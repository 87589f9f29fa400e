"""A model bundle on one machine: its scores in numpy, from its files alone, without Spark."""
