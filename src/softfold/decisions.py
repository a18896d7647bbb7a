def precision_sentence(run): return None
