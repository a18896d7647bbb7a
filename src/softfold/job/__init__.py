"""The main job, step by step, and the recipes that are jobs of another kind."""
