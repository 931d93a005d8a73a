// Images and guesses, fetched before they are needed and let go afterwards.

const RETRY = 1000; // milliseconds
const SMALL = 128; // pixels: images below are drawn without smoothing

export class Images {
  constructor(server, changed) {
    this.server = server;
    this.changed = changed;
    this.entries = new Map(); // id -> {image, failure, guess}
  }

  // Have these, and no others.
  keep(ids) {
    const wanted = new Set(ids);
    for (const [id, { image }] of this.entries) {
      if (wanted.has(id)) continue;
      if (image) URL.revokeObjectURL(image.src);
      this.entries.delete(id);
    }
    for (const id of wanted) {
      if (this.entries.has(id)) continue;
      const entry = {};
      this.entries.set(id, entry);
      this.load(id, entry);
    }
  }

  async load(id, entry) {
    while (this.entries.get(id) === entry) {
      try {
        const image = new Image();
        image.alt = "";
        image.draggable = false;
        image.src = await this.server.image(id);
        await image.decode();
        image.classList.toggle("small", image.naturalWidth < SMALL);
        if (this.entries.get(id) === entry) entry.image = image;
        else URL.revokeObjectURL(image.src);
        break;
      } catch (failure) {
        if (failure.status === 0 || failure.status === 401) {
          await new Promise((wake) => setTimeout(wake, RETRY));
        } else {
          entry.failure = failure.status ? failure.message : "what came is no image";
          break;
        }
      }
    }
    this.changed();
  }

  // Whether one can see it, or read why not.
  ready(id) {
    const entry = this.entries.get(id);
    return Boolean(entry?.image ?? entry?.failure);
  }

  put(id, box) {
    const entry = this.entries.get(id);
    const [image, failure] = [entry?.image, entry?.failure];
    if (image && box.firstChild !== image) box.replaceChildren(image);
    else if (failure) box.textContent = `This image cannot be shown: ${failure} You can skip it.`;
    box.classList.toggle("loading", !image && !failure);
  }

  // undefined until it is known.
  guess(id) {
    const entry = this.entries.get(id);
    if (entry && !entry.asked) {
      entry.asked = true;
      this.server
        .get("api/guess", { id })
        .then(({ guess }) => {
          entry.guess = guess;
          this.changed();
        })
        .catch(() => {
          setTimeout(() => (entry.asked = false), RETRY);
        });
    }
    return entry?.guess;
  }
}
