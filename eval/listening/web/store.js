// What a listener has done so far. Kept in localStorage under the page's hash, so that a reload loses nothing.

const DATA = JSON.parse(document.getElementById("data").textContent);
const PLACE = `listening-${DATA.page}`;
const TRIPLETS = new Map(DATA.triplets.map((one) => [one.name, one]));

const store = {
  remembers: true,

  // {rater, nickname, begun, at: position, order: [name], triplets: {name: {order, scores, heard: [sample], seconds}}}
  load() {
    let kept = null;
    try {
      kept = JSON.parse(localStorage.getItem(PLACE));
      localStorage.setItem(PLACE, JSON.stringify(kept));
    } catch {
      this.remembers = false;
    }
    this.state = kept ?? fresh();
  },

  keep() {
    try {
      localStorage.setItem(PLACE, JSON.stringify(this.state));
    } catch {
      this.remembers = false;
    }
  },

  complete(name) {
    const scores = this.state.triplets[name].scores;
    return TRIPLETS.get(name).samples.every((sample) => sample in scores);
  },

  rated() {
    return this.state.order.filter((name) => this.complete(name));
  },

  // The file that is sent back; only triplets whose clips are all rated are in it.
  file() {
    const { rater, nickname, begun } = this.state;
    const triplets = this.rated().map((name) => {
      const { order, scores, seconds } = this.state.triplets[name];
      return { triplet: name, order, scores, seconds: Math.round(seconds * 10) / 10 };
    });
    const file = { format: 1, page: DATA.page, rater, nickname, begun, saved: new Date().toISOString(), triplets };
    return JSON.stringify(file, null, 1);
  },

  download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.file()], { type: "application/json" }));
    link.download = `ratings_${this.state.rater}.json`;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    return link.download;
  },
};

function fresh() {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  const rater = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const random = generator(rater);
  const triplets = {};
  for (const one of DATA.triplets) {
    triplets[one.name] = { order: shuffled(one.samples, random), scores: {}, heard: [], seconds: 0 };
  }
  const order = shuffled([...TRIPLETS.keys()], random);
  return { rater, nickname: "", begun: new Date().toISOString(), at: -1, order, triplets };
}

// Numbers in [0, 1) that follow from a text: xorshift32 (Marsaglia 2003), seeded by FNV-1a.
function generator(text) {
  let x = 0x811c9dc5;
  for (const letter of text) x = Math.imul(x ^ letter.charCodeAt(0), 0x01000193);
  x = x >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x = (x ^ (x << 5)) >>> 0;
    return x / 2 ** 32;
  };
}

function shuffled(list, random) {
  const result = [...list];
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [result[last], result[other]] = [result[other], result[last]];
  }
  return result;
}
