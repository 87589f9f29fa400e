"""Learners: what each can do, how it is fitted, and the fitted model that it returns."""
