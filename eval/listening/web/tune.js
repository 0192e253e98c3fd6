// The notes of a target tune as soft tones, so that nobody has to read them; middle octave, as only note names count.

const tune = {
  context: null,
  stop() {
    this.context?.close();
    this.context = null;
  },

  // Notes are [onset in s, duration in s, pitch class]. `step(seconds)` is called while it sounds, `ended` after it.
  play(notes, seconds, step, ended) {
    this.stop();
    const context = (this.context = new AudioContext());
    const begin = context.currentTime + 0.05;
    for (const [onset, length, pitch] of notes) tone(context, begin + onset, length, 440 * 2 ** ((pitch - 9) / 12));
    const watch = () => {
      if (this.context !== context) return ended();
      const now = context.currentTime - begin;
      step(Math.max(now, 0));
      if (now < seconds) requestAnimationFrame(watch);
      else this.stop(), ended();
    };
    watch();
  },
};

function tone(context, begin, length, hertz) {
  const source = new OscillatorNode(context, { type: "triangle", frequency: hertz });
  const level = new GainNode(context, { gain: 0 });
  level.gain.setValueAtTime(0, begin);
  level.gain.linearRampToValueAtTime(0.2, begin + 0.02);
  level.gain.setValueAtTime(0.2, begin + Math.max(length - 0.04, 0.02));
  level.gain.linearRampToValueAtTime(0, begin + length);
  source.connect(level).connect(context.destination);
  source.start(begin);
  source.stop(begin + length);
}
