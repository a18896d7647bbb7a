"""Label tables: reading them, known ones, wrong labels made on purpose, folds, groups."""
