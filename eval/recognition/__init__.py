"""Is what a prompt asks for heard in a clip: genre family, instruments, tempo. Judges trained on the training split."""
