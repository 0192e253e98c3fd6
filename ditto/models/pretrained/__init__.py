"""Published text-to-music checkpoints in the layout of diffusers, behind the model interface of this project."""
