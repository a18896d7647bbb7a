"""Run folders: what is in them, the settings they were made with, how their items look."""
