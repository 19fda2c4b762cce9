"""Pages to keep or to hand in: a run, a checkpoint's evidence; such pages read again. No torch."""
