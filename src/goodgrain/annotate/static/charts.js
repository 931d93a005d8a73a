// Pictures between rounds, drawn as SVG from plain numbers; every text that comes from data goes in as textContent.

const OOD = "__ood__";
const MOST_POINTS = 2000; // of those nobody answered: more only hide the map behind them
const WIDE = 800; // pixels: two pictures side by side
const PADDING = 52;
const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;
  return element;
}

function html(name, className, text = "") {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
const line = (from, to, low, high) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

const range = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

// Round numbers that cover a range in about four steps.
function ticks(low, high) {
  const rough = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k += 1) found.push(Number((k * step).toPrecision(6)));
  return found;
}

function figure(title, note, picture, legend = []) {
  const box = html("figure", "card");
  box.append(html("h2", "", title), picture);
  if (legend.length) {
    const list = html("ul", "legend");
    for (const [className, shape, name] of legend) {
      const entry = html("li", "");
      const mark = svg("svg", { viewBox: "-8 -8 16 16", width: 14, height: 14, "aria-hidden": "true" });
      mark.append(svg("path", { class: className, d: shape }));
      entry.append(mark, html("span", "", name));
      list.append(entry);
    }
    box.append(list);
  }
  box.append(html("figcaption", "soft", note));
  return box;
}

const CIRCLE = "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0";
const SQUARE = "M-3.5,-3.5h7v7h-7z";
const CROSS = "M-3.5,-3.5L3.5,3.5M-3.5,3.5L3.5,-3.5";
const DOT = "M-2,0a2,2 0 1,0 4,0a2,2 0 1,0 -4,0";
const SERIES = [
  ["accuracy", "one", CIRCLE, "accuracy of the model"],
  ["in_share", "two", SQUARE, "share of answers that name a class"],
];

function overRounds(rounds, width) {
  const [height, left, right, top, bottom] = [280, 48, 14, 12, 40];
  const numbers = rounds.map((row) => row.round);
  const x = line(left + 14, width - right - 14, ...range(numbers));
  const y = line(height - bottom, top, 0, 1);
  const place = (value) => (numbers.length > 1 ? x(value) : (left + width - right) / 2);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const told = rounds.map((row) =>
    [`round ${row.round}`, ...SERIES.filter(([key]) => row[key] !== null).map(([key, , , name]) => `${name} ${percent(row[key])}`)].join(", "),
  );
  picture.setAttribute("aria-label", `Accuracy and share of answers that name a class, over rounds. ${told.join("; ")}.`);
  for (const value of [0, 0.25, 0.5, 0.75, 1]) {
    picture.append(svg("path", { class: "rule", d: `M${left},${y(value)}H${width - right}` }));
    picture.append(svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, percent(value)));
  }
  const step = Math.ceil(numbers.length / 10);
  numbers.forEach((value, i) => {
    if (i % step === 0) picture.append(svg("text", { x: place(value), y: height - bottom + 18, "text-anchor": "middle" }, String(value)));
  });
  picture.append(svg("text", { class: "axis", x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, "round"));
  for (const [key, className, shape, name] of SERIES) {
    const known = rounds.filter((row) => row[key] !== null && row[key] !== undefined);
    const path = known.map((row, i) => `${i ? "L" : "M"}${place(row.round)},${y(row[key])}`).join("");
    picture.append(svg("path", { class: `line ${className}`, d: path }));
    for (const row of known) {
      const mark = svg("path", { class: `mark ${className}`, d: shape, transform: `translate(${place(row.round)},${y(row[key])})` });
      mark.append(svg("title", {}, `round ${row.round}, ${row.strategy}: ${name} ${percent(row[key])}; ${row.answered} answered, ${row.spent} spent`));
      picture.append(mark);
    }
  }
  const last = rounds.findLast((row) => row.answered) ?? rounds.at(-1);
  const note = `Last: round ${last.round}, asked by ${last.strategy}; ${last.answered} answered for ${last.spent}.`;
  return figure("What the rounds brought", note, picture, SERIES.map(([, className, shape, name]) => [`mark ${className}`, shape, name]));
}

function heat(plane, x, y) {
  const { grid_purity: across, grid_informativeness: up, score } = plane;
  const values = score.flat().filter((value) => value !== null);
  const strength = line(0.04, 0.85, ...range(values));
  const edges = (grid) => [
    grid[0] - (grid[1] - grid[0]) / 2,
    ...grid.slice(1).map((value, i) => (value + grid[i]) / 2),
    grid.at(-1) + (grid.at(-1) - grid.at(-2)) / 2,
  ];
  const [columns, rows] = [edges(across).map(x), edges(up).map(y)];
  const layer = svg("g", { class: "heat", "shape-rendering": "crispEdges" });
  score.forEach((row, i) =>
    row.forEach((value, j) => {
      if (value === null) return;
      const size = { width: Math.abs(columns[j + 1] - columns[j]), height: Math.abs(rows[i] - rows[i + 1]) };
      layer.append(svg("rect", { x: columns[j], y: rows[i + 1], ...size, "fill-opacity": strength(value).toFixed(3) }));
    }),
  );
  return layer;
}

function overPlane(plane, width) {
  const [height, left, right, top, bottom] = [Math.min(420, width), 48, 12, 12, 44];
  const grid = plane.grid_purity.length > 1 && plane.grid_informativeness.length > 1;
  const wide = range(grid ? plane.grid_purity : plane.purity);
  const tall = range(grid ? plane.grid_informativeness : plane.informativeness);
  const [x, y] = [line(left, width - right, ...wide), line(height - bottom, top, ...tall)];
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const frame = { x: left, y: top, width: width - left - right, height: height - top - bottom };
  const clip = svg("clipPath", { id: "frame" });
  clip.append(svg("rect", frame));
  const inside = svg("g", { "clip-path": "url(#frame)" });
  if (grid) inside.append(heat(plane, x, y));
  picture.append(clip, inside, svg("rect", { class: "frame", ...frame }));
  for (const value of ticks(...wide)) {
    picture.append(svg("text", { x: x(value), y: height - bottom + 18, "text-anchor": "middle" }, String(value)));
  }
  for (const value of ticks(...tall)) {
    picture.append(svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, String(value)));
  }
  picture.append(svg("text", { class: "axis", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, "purity →"));
  const turned = `translate(12,${(top + height - bottom) / 2}) rotate(-90)`;
  picture.append(svg("text", { class: "axis", transform: turned, "text-anchor": "middle" }, "informativeness →"));
  const all = plane.answer.map((answer, i) => ({ answer, at: `translate(${x(plane.purity[i])},${y(plane.informativeness[i])})` }));
  const silent = all.filter((point) => point.answer === "");
  const step = Math.max(1, Math.ceil(silent.length / MOST_POINTS));
  const mark = (point, className, shape, name) => {
    const path = svg("path", { class: className, d: shape, transform: point.at });
    if (name) path.append(svg("title", {}, name));
    inside.append(path);
  };
  silent.filter((_, i) => i % step === 0).forEach((point) => mark(point, "mark open", DOT));
  const named = all.filter((point) => point.answer !== "" && point.answer !== OOD);
  const foreign = all.filter((point) => point.answer === OOD);
  foreign.forEach((point) => mark(point, "mark cross", CROSS, "none of these"));
  named.forEach((point) => mark(point, "mark one", CIRCLE, point.answer));
  const counts = `${named.length} with a class, ${foreign.length} with none, ${silent.length} not answered`;
  picture.setAttribute("aria-label", `Images by purity and informativeness: ${counts}.`);
  const thin = step > 1 ? ` One in ${step} of those not answered is drawn.` : "";
  const note = `${grid ? "The darker the ground, the sooner the query model asks. " : ""}${counts}.${thin}`;
  return figure("Where the answers lie", note, picture, [
    ["mark one", CIRCLE, "a class"],
    ["mark cross", CROSS, "none of these"],
    ["mark open", DOT, "not answered"],
  ]);
}

export function draw(box, { rounds = [], plane = null }) {
  const width = Math.max(280, (box.clientWidth > WIDE ? box.clientWidth / 2 : box.clientWidth) - PADDING);
  box.replaceChildren();
  if (rounds.length) box.append(overRounds(rounds, width));
  if (plane?.purity.length) box.append(overPlane(plane, width));
}
