"""The music: tunes and grooves to MIDI, MIDI to audio, audio to clips with captions and splits."""
