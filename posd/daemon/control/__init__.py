"""Where people come in: the control socket and its verbs."""
