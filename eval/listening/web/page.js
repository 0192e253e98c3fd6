// The screens: start, one triplet after the other, end.

const screen_ = document.getElementById("screen");
let clips = []; // of the triplet on the screen
let since = 0; // when the seconds of this triplet were last counted

function show(name) {
  for (const clip of clips) clip.close();
  clips = [];
  tune.stop();
  screen_.replaceChildren(document.getElementById(name).content.cloneNode(true));
  screen_.className = name;
  scrollTo(0, 0);
  return (selector) => screen_.querySelector(selector);
}

function start() {
  const find = show("start");
  const seconds = DATA.triplets.reduce((sum, one) => sum + one.seconds * one.samples.length * 1.5 + 10, 0);
  find("h1").textContent = DATA.title;
  find(".question").textContent = DATA.question;
  find(".wording").textContent = DATA.wording;
  find(".count").textContent = DATA.triplets.length;
  find(".minutes").textContent = Math.ceil(seconds / 60);
  find(".warning").hidden = store.remembers;
  find("#nickname").value = store.state.nickname;
  find("#nickname").addEventListener("input", (event) => {
    store.state.nickname = event.target.value.trim();
    store.keep();
  });
  find("#begin").textContent = store.rated().length ? "Go on" : "Start";
  find("#begin").addEventListener("click", () => go(Math.max(store.state.at, 0)));
}

function go(position) {
  store.state.at = position;
  store.keep();
  if (position < 0) start();
  else if (position < store.state.order.length) rate(position);
  else end();
  screen_.focus({ preventScroll: true });
}

function rate(position) {
  const find = show("rate");
  const name = store.state.order[position];
  const one = TRIPLETS.get(name);
  const record = store.state.triplets[name];
  words(find, one, position);
  const head = marker(find(".picture svg"), one.seconds);
  const changed = () => (store.keep(), hint(find, name));
  // Once, at the click: a clip that still sounds must not stop the one that follows it.
  const starting = (clip) => {
    for (const other of clips) if (other !== clip) other.audio.pause();
    tune.stop();
  };
  clips = record.order.map((sample, k) => new Clip(sample, k, record, changed, starting, head));
  find(".clips").append(...clips.map((clip) => clip.node));
  find(".tune").hidden = !one.notes.length;
  find(".tune").addEventListener("click", () => hum(find(".tune"), one, head));
  find(".back").addEventListener("click", () => go(position - 1));
  find(".next").addEventListener("click", () => go(position + 1));
  find(".save").addEventListener("click", () => store.download());
  since = performance.now();
  hint(find, name);
}

function words(find, one, position) {
  const total = store.state.order.length;
  find(".done").style.width = `${(100 * store.rated().length) / total}%`;
  find(".place").textContent = `Piece ${position + 1} of ${total}`;
  find(".prompt").textContent = `“${one.prompt}”`;
  find(".task").textContent = DATA.tasks[one.task].title;
  find(".what").textContent = DATA.tasks[one.task].asked;
  find(".picture").innerHTML = one.svg;
  find(".legend").textContent = one.legend;
  find(".to").textContent = `${one.seconds.toFixed(1)} s`;
  find(".question").textContent = DATA.question;
}

// A line over the drawing where the sound is; returns what moves it.
function marker(svg, seconds) {
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const { width, height } = svg.viewBox.baseVal;
  for (const [key, value] of Object.entries({ class: "head", x1: 0, x2: 0, y1: 0, y2: height })) {
    line.setAttribute(key, value);
  }
  svg.append(line);
  return (now) => line.setAttribute("transform", `translate(${(width * Math.min(now, seconds)) / seconds} 0)`);
}

function hum(button, one, head) {
  if (tune.context) return tune.stop();
  for (const clip of clips) clip.audio.pause();
  button.textContent = "Stop the tune";
  return tune.play(one.notes, one.seconds, head, () => (button.textContent = "Play the tune"));
}

// What is still to do before the next piece.
function hint(find, name) {
  const unheard = clips.filter((clip) => !clip.heard).map((clip) => clip.letter);
  const unrated = clips.filter((clip) => !(clip.sample in clip.record.scores)).map((clip) => clip.letter);
  find(".next").disabled = unrated.length > 0;
  find(".save").disabled = !store.rated().length;
  find(".hint").textContent = unheard.length
    ? `listen to the end: ${unheard.join(", ")}`
    : unrated.length
      ? `still to rate: ${unrated.join(", ")}`
      : "";
}

function end() {
  const find = show("end");
  find(".count").textContent = `${store.rated().length} of ${DATA.triplets.length}`;
  find("h1").textContent = store.rated().length < DATA.triplets.length ? "Not all pieces are rated" : "Thank you!";
  find(".save").disabled = !store.rated().length;
  find("textarea").value = store.file();
  find(".save").addEventListener("click", () => (find(".saved").textContent = `Saved as ${store.download()}.`));
  find(".back").addEventListener("click", () => go(store.state.order.length - 1));
}

// Seconds spent on the triplet on the screen, while the page is seen.
function count() {
  const record = store.state.triplets[store.state.order[store.state.at]];
  const now = performance.now();
  if (record && !document.hidden && screen_.className === "rate") {
    record.seconds += Math.min(now - since, 2000) / 1000;
    store.keep();
  }
  since = now;
}

document.addEventListener("keydown", (event) => {
  const clip = clips[Number(event.key) - 1];
  if (clip && event.target.type !== "text" && !event.ctrlKey && !event.metaKey && !event.altKey) clip.toggle();
});
setInterval(count, 1000);
store.load();
start();
