// The page: what is drawn, and what keys and buttons do. Everything that comes from data goes in as textContent.

import { Server, findToken } from "./api.js";
import { Desk } from "./desk.js";
import { fill, make, makeButton, say, ui, write } from "./dom.js";
import { Images } from "./images.js";
import { Outbox } from "./outbox.js";
import { Pause } from "./pause.js";
import { bannerText, countsText, lastText, moneyText } from "./words.js";

const GRID = 12;
const NAME = "goodgrain annotator"; // in localStorage
const server = new Server(findToken());
const images = new Images(server, () => show());
const tiles = new Map(); // id -> element
let session = null;
let outbox = null;
let pause = null;
let chosen = -1; // number of the class that Enter gives in the filter
let inView = null; // id of the image that keys answer
let desk = null; // null until somebody has sat down

const named = (answer) => {
  const { ood, unsure, skip } = session.answers;
  return new Map([[ood, "none of these"], [unsure, "unsure"], [skip, "skipped"]]).get(answer) ?? answer;
};

// --- drawing ---------------------------------------------------------------------------------------------------------

function show() {
  if (!session) return;
  showBanner();
  const mode = !desk ? "welcome" : desk.over || pause.looking || pause.ready ? "between" : "label";
  ui.wait.hidden = true;
  for (const name of ["welcome", "label", "between"]) ui[name].hidden = name !== mode;
  ui.bar.hidden = !desk;
  document.body.dataset.mode = mode;
  if (mode !== "between" && pause.shown) pause.leave();
  if (desk) showBar(mode);
  if (mode === "label") showSheet();
  if (mode === "between") pause.show(desk, outbox.waiting.length);
}

function showBar(mode) {
  const { round } = desk.state;
  write(ui.round, `Round ${round?.number ?? 0}`);
  write(ui.money, moneyText(round, outbox.waiting.length));
  write(ui.counts, countsText(round));
  fill(ui.meter, round ? round.spent / round.budget : 0);
  ui.grid.setAttribute("aria-pressed", String(desk.size === GRID));
  ui.pictures.setAttribute("aria-pressed", String(pause.looking));
  write(ui.who, desk.annotator || "nameless");
  ui.who.setAttribute("aria-label", `You are ${desk.annotator || "nameless"}. Change your name`);
  for (const name of ["grid", "guess"]) ui[name].disabled = mode !== "label";
}

function showBanner() {
  const trouble = outbox.trouble ?? desk?.trouble ?? null;
  const text = bannerText(outbox, trouble, named);
  ui.banner.hidden = !text;
  write(ui.trouble, text);
  ui.again.hidden = !trouble;
  ui.drop.hidden = Boolean(trouble) || !outbox.refused.length;
}

function showSheet() {
  images.keep([...desk.sheet.map((tile) => tile.id), ...desk.pool, ...desk.done.slice(-GRID).map((entry) => entry.id)]);
  ui.sheet.classList.toggle("many", desk.size > 1);
  const wanted = desk.sheet.map(({ id, answer }, place) => {
    if (!tiles.has(id)) tiles.set(id, makeTile(id));
    const tile = tiles.get(id);
    const current = place === desk.current;
    images.put(id, tile.querySelector(".picture"));
    write(tile.querySelector(".given"), answer === null ? "" : named(answer));
    tile.classList.toggle("answered", answer !== null);
    tile.classList.toggle("current", current);
    tile.setAttribute("aria-pressed", String(current));
    tile.setAttribute("aria-label", `Image ${id}${answer === null ? "" : `, answered: ${named(answer)}`}`);
    tile.tabIndex = current ? 0 : -1;
    showGuess(id, tile.querySelector(".guess"));
    return tile;
  });
  if (wanted.length !== ui.sheet.children.length || wanted.some((tile, i) => ui.sheet.children[i] !== tile)) {
    const focused = ui.sheet.contains(document.activeElement);
    ui.sheet.replaceChildren(...(wanted.length ? wanted : [make("p", "wait", "Waiting for images …")]));
    if (focused) wanted[desk.current]?.focus({ preventScroll: true });
  }
  if (desk.size > 1 && desk.tile?.id !== inView) tiles.get(desk.tile?.id)?.scrollIntoView({ block: "center" });
  inView = desk.tile?.id;
  for (const id of tiles.keys()) if (!desk.sheet.some((tile) => tile.id === id)) tiles.delete(id);
  ui.undo.disabled = !desk.canUndo;
  write(ui.last, lastText(desk.done.at(-1), named));
}

function makeTile(id) {
  const picture = make("span", "picture");
  const tile = make("button", "tile", picture, make("span", "given"), make("span", "guess"), make("span", "id", id));
  tile.type = "button";
  tile.addEventListener("click", () => desk.choose(desk.sheet.findIndex((entry) => entry.id === id)));
  return tile;
}

function showGuess(id, box) {
  box.hidden = ui.guess.getAttribute("aria-pressed") !== "true";
  if (box.hidden) return;
  const guess = images.guess(id);
  const text = guess === undefined ? "…" : guess === null ? "no guess" : named(guess);
  write(box, desk.size > 1 || guess === null ? text : `guess: ${text}`);
}

// --- doing -----------------------------------------------------------------------------------------------------------

function answer(name) {
  const tile = desk.tile;
  if (!tile || ui.label.hidden) return;
  if (!images.ready(tile.id)) {
    say("The image is still on its way.");
    return;
  }
  desk.answer(name);
  say(`${named(name)}. ${desk.open.length ? "Next image." : ""}`);
  if (!ui.filter.hidden) {
    ui.filter.value = "";
    filterClasses();
  }
}

function undo() {
  const last = pause.ready ? null : desk.undo();
  if (!last) return;
  pause.leave();
  say(`Taken back: ${named(last.answer)}.`);
}

// On from between the rounds: to the next one, or back to this one.
function go() {
  if (pause.ready || desk.over) desk.refill();
  if (pause.ready) desk.over = "";
  pause.leave();
  show();
}

function look() {
  if (desk.over || pause.ready) return;
  pause.looking = !pause.looking;
  show();
}

function toggleGuess() {
  ui.guess.setAttribute("aria-pressed", String(ui.guess.getAttribute("aria-pressed") !== "true"));
  show();
}

// Which class Enter gives is outlined: one that begins with what was typed, or else one that holds it.
function filterClasses() {
  const wanted = ui.filter.value.trim().toLowerCase();
  const names = session.classes.map((name) => name.toLowerCase());
  const begins = names.findIndex((name) => name.startsWith(wanted));
  chosen = wanted ? (begins >= 0 ? begins : names.findIndex((name) => name.includes(wanted))) : -1;
  for (const [k, button] of [...ui.classes.children].entries()) {
    button.hidden = !names[k].includes(wanted);
    button.classList.toggle("chosen", k === chosen);
  }
}

const KEYS = {
  0: () => answer(session.answers.ood),
  u: () => answer(session.answers.unsure),
  s: () => answer(session.answers.skip),
  z: undo,
  g: () => desk.resize(desk.size === 1 ? GRID : 1),
  m: toggleGuess,
  p: look,
};

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !desk || !ui.welcome.hidden) return;
  if (event.target === ui.filter) {
    if (event.key === "Enter" && chosen >= 0) answer(session.classes[chosen]);
    if (event.key === "Escape") ui.filter.blur();
    return;
  }
  const key = event.key.toLowerCase();
  const labelling = !ui.label.hidden;
  if (labelling && /^[1-9]$/.test(key) && key <= session.classes.length) answer(session.classes[key - 1]);
  else if (key in KEYS && (labelling || key === "z" || key === "p")) KEYS[key]();
  else if (labelling && key === "/" && !ui.filter.hidden) ui.filter.focus();
  else if (labelling && desk.size > 1 && key.startsWith("arrow")) move(key);
  else return;
  event.preventDefault();
}

function move(key) {
  const columns = getComputedStyle(ui.sheet).gridTemplateColumns.split(" ").length;
  const step = { arrowleft: -1, arrowright: 1, arrowup: -columns, arrowdown: columns }[key];
  desk.choose(desk.current + step);
  tiles.get(desk.tile?.id)?.focus();
}

// --- beginning -------------------------------------------------------------------------------------------------------

function furnish() {
  const { classes, answers } = session;
  ui.classes.replaceChildren(
    ...classes.map((name, k) => makeButton(name, k < 9 ? String(k + 1) : "", () => answer(name))),
  );
  ui.others.replaceChildren(
    makeButton("None of these", "0", () => answer(answers.ood), "ood"),
    makeButton("Unsure", "u", () => answer(answers.unsure)),
    makeButton("Skip", "s", () => answer(answers.skip)),
  );
  ui.filter.hidden = classes.length <= 9;
  ui.filter.addEventListener("input", filterClasses);
  ui.undo.addEventListener("click", undo);
  ui.back.addEventListener("click", undo);
  ui.grid.addEventListener("click", KEYS.g);
  ui.guess.addEventListener("click", toggleGuess);
  ui.pictures.addEventListener("click", look);
  ui.who.addEventListener("click", leave);
  ui.advance.addEventListener("click", () => pause.advance(desk));
  ui.go.addEventListener("click", go);
  ui.drop.addEventListener("click", () => outbox.dropRefused());
  ui.again.addEventListener("click", () => {
    outbox.hurry();
    desk?.refill();
  });
  ui.welcome.addEventListener("submit", (event) => {
    event.preventDefault();
    localStorage.setItem(NAME, ui.name.value.trim());
    sit(ui.name.value.trim());
  });
  document.addEventListener("keydown", press);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && desk && !desk.over) desk.refill(); // what we held may have gone to somebody else
  });
}

function leave() {
  desk?.close();
  desk = null;
  pause.leave();
  ui.name.value = localStorage.getItem(NAME) ?? "";
  show();
  ui.name.focus();
}

async function sit(annotator) {
  const { state, last } = await patiently(() => server.get("api/session", { annotator }));
  desk = new Desk(server, outbox, annotator, { state, last, changed: show });
  desk.refill();
  show();
}

// Until it works: the server may be starting.
async function patiently(work) {
  for (;;) {
    try {
      return await work();
    } catch (failure) {
      ui.wait.hidden = false;
      ui.wait.textContent =
        failure.status === 401
          ? "This page has no valid token. Open the address that the server printed when it started."
          : `The session cannot be opened yet: ${failure.message}. Trying again …`;
      await new Promise((wake) => setTimeout(wake, 1500));
    }
  }
}

async function begin() {
  session = await patiently(() => server.get("api/session"));
  const send = ({ op, ...entry }) => server.post(`api/${op}`, entry);
  outbox = new Outbox(session.key, send, (entry, reply) => sent(entry, reply), () => show());
  pause = new Pause(server, session.can_advance, () => show());
  furnish();
  const annotator = localStorage.getItem(NAME);
  if (annotator === null) leave();
  else await sit(annotator);
  outbox.deliver(); // not before the desk remembers what waits in it
}

function sent(entry, reply) {
  if (desk && entry.annotator === desk.annotator) desk.sent(entry, reply);
  else show();
}

begin();
