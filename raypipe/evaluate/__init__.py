"""The evaluate step: detections against the truth, before and after refinement."""
