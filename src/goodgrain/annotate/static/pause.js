// Between rounds: what the rounds brought, training, and the way on.

import { draw } from "./charts.js";
import { fill, make, say, ui, write } from "./dom.js";
import { overText } from "./words.js";

const POLL = { running: 700, idle: 3000 }; // milliseconds between looks at the server

export class Pause {
  // changed() draws the page anew.
  constructor(server, canAdvance, changed) {
    Object.assign(this, { server, canAdvance, changed });
    this.looking = false; // at the pictures, in the middle of a round
    this.ready = false; // the next round waits for a start
    this.shown = false;
    this.timer = 0;
    addEventListener("resize", () => this.shown && this.pictures && draw(ui.charts, this.pictures));
  }

  show(desk, unsent) {
    const { looking, ready, canAdvance } = this;
    const { job, held, round } = desk.state;
    const [title, why] = overText({ desk, ready, looking, unsent, canAdvance });
    write(ui.over, title);
    write(ui.why, why);
    ui.job.hidden = !job.running;
    write(ui.stage, job.running ? `${job.stage || "Starting"} …` : "");
    fill(ui.done, job.share);
    ui.failed.hidden = !job.error;
    write(ui.failed, job.error);
    const finished = desk.over && !ready && !job.running;
    const others = finished && desk.over !== "closed" && held > 0;
    ui.advance.hidden = !finished || !canAdvance;
    ui.advance.disabled = unsent > 0;
    ui.back.hidden = !finished || !desk.canUndo;
    ui.go.hidden = !(ready || others || (looking && !desk.over));
    ui.go.classList.toggle("primary", !others);
    write(ui.go, ready ? `Start round ${round.number}` : others ? "Look for images again" : "Back to the images");
    if (this.shown) return;
    this.shown = true;
    this.loadPictures();
    this.poll(desk);
    scrollTo(0, 0);
    ui.over.focus({ preventScroll: true });
  }

  leave() {
    this.shown = this.ready = this.looking = false;
    clearTimeout(this.timer);
  }

  async loadPictures() {
    try {
      this.pictures = await this.server.get("api/pictures");
      draw(ui.charts, this.pictures);
      write(ui.hint, this.pictures.hint ?? "");
      ui.hint.hidden = !this.pictures.hint;
    } catch (failure) {
      ui.charts.replaceChildren(make("p", "soft", `The pictures cannot be shown: ${failure.message}.`));
    }
  }

  async advance(desk) {
    clearTimeout(this.timer);
    try {
      desk.state = await this.server.post("api/advance", { round: desk.round });
    } catch (failure) {
      desk.state.job.error = failure.status ? failure.message : `${failure.message}. Press the button again later.`;
    }
    this.changed();
    this.poll(desk);
  }

  async poll(desk) {
    clearTimeout(this.timer);
    const wait = desk.state.job.running ? POLL.running : POLL.idle;
    await new Promise((wake) => (this.timer = setTimeout(wake, wait)));
    if (!this.shown) return;
    try {
      const before = desk.state.job;
      desk.state = await this.server.get("api/state");
      desk.trouble = null;
      this.follow(desk, before);
    } catch (failure) {
      desk.trouble = failure;
    }
    this.changed();
    if (this.shown) this.poll(desk);
  }

  follow(desk, before) {
    const { round, job } = desk.state;
    if (before.running && !job.running) this.loadPictures();
    if (this.ready || job.running || round?.number === desk.round || round?.state !== "open") return;
    this.ready = true;
    this.loadPictures();
    say(`Round ${round.number} is ready.`);
    this.changed();
    ui.go.focus();
  }
}
