// One clip of a triplet: its player, and the slider that opens once the clip was heard.

const HEARD = 0.95; // the share of a clip that counts as all of it
const LETTERS = "ABCDEFGH";

class Clip {
  // `changed()` is called when something was heard or rated, `starting(clip)` before it sounds, `playing(seconds)` while.
  constructor(sample, position, record, changed, starting, playing) {
    Object.assign(this, { sample, record, changed, starting, playing, letter: LETTERS[position] });
    this.node = document.getElementById("clip").content.cloneNode(true).firstElementChild;
    this.button = this.node.querySelector(".play");
    this.slider = this.node.querySelector("input");
    this.slider.setAttribute("aria-label", `Rating of ${this.letter}, 0 to 100`);
    this.node.querySelector(".scale").append(...DATA.scale.map(span));
    this.audio = new Audio(sound(sample));
    this.listen();
    this.show();
  }

  listen() {
    this.button.addEventListener("click", () => this.toggle());
    this.audio.addEventListener("play", () => this.watch());
    for (const event of ["timeupdate", "pause", "ended"]) this.audio.addEventListener(event, () => this.progress());
    this.audio.addEventListener("error", () => (this.node.querySelector("output").textContent = "cannot play"));
    for (const event of ["input", "pointerup"]) this.slider.addEventListener(event, () => this.rate());
    this.slider.addEventListener("keydown", (event) => ["Enter", " "].includes(event.key) && this.rate());
  }

  get heard() {
    return this.record.heard.includes(this.sample);
  }

  toggle() {
    if (!this.audio.paused) return this.audio.pause();
    this.starting(this);
    this.audio.play().catch(() => {}); // an error is shown, a pause is none
  }

  watch() {
    this.progress();
    if (!this.audio.paused) requestAnimationFrame(() => this.watch());
  }

  progress() {
    if (!this.heard && played(this.audio) >= HEARD * this.audio.duration) {
      this.record.heard.push(this.sample);
      this.changed();
    }
    if (!this.audio.paused) this.playing(this.audio.currentTime);
    this.show();
  }

  rate() {
    if (this.slider.disabled) return;
    this.record.scores[this.sample] = Number(this.slider.value);
    this.show();
    this.changed();
  }

  show() {
    const score = this.record.scores[this.sample];
    const share = this.audio.duration ? this.audio.currentTime / this.audio.duration : 0;
    const verb = this.audio.paused ? (this.heard ? "Play again" : "Play") : "Pause";
    this.button.textContent = `${this.audio.paused ? "▶" : "❚❚"} ${this.letter}`;
    this.button.setAttribute("aria-label", `${verb} ${this.letter}`);
    this.button.style.setProperty("--share", share);
    this.button.classList.toggle("heard", this.heard);
    this.slider.disabled = !this.heard;
    if (score !== undefined) this.slider.value = score;
    this.slider.classList.toggle("unset", score === undefined);
    this.slider.setAttribute("aria-valuetext", score === undefined ? "not rated" : `${score}`);
    this.node.querySelector("output").textContent = score ?? (this.heard ? "rate it" : "listen first");
  }

  close() {
    this.audio.pause();
    URL.revokeObjectURL(this.audio.src);
  }
}

// A URL of the clip's sound, decoded from the page when it is needed.
function sound(sample) {
  const block = document.getElementById(`sound-${sample}`);
  const bytes = Uint8Array.from(atob(block.textContent), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: block.dataset.media }));
}

function played(audio) {
  let seconds = 0;
  for (let i = 0; i < audio.played.length; i++) seconds += audio.played.end(i) - audio.played.start(i);
  return seconds;
}

function span(text) {
  const node = document.createElement("span");
  node.textContent = text;
  return node;
}
