"""apply(state, record): the only mutation. It folds, and never decides."""
