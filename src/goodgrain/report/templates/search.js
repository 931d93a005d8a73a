// Fills and filters tables of rows; all that comes from data goes in as text.
(function () {
  "use strict";
  const PAGE = 20;
  const FOLD = 200; // characters of a text that show at first

  function cell(name, text, kind) {
    const box = document.createElement("td");
    box.className = kind || "";
    box.dataset.name = name;
    box.textContent = text;
    return box;
  }

  function folded(name, text) {
    const line = text.replace(/\s+/g, " ").trim();
    const box = cell(name, line, "said");
    box.dir = "auto";
    if (line.length <= FOLD) return box;
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    const whole = document.createElement("p");
    whole.textContent = text;
    details.append(summary, whole);
    details.addEventListener("toggle", () => label());
    function label() {
      summary.textContent = details.open ? "fold" : line.slice(0, FOLD).replace(/[\ud800-\udbff]$/, "") + " …";
    }
    label();
    box.replaceChildren(details);
    return box;
  }

  for (const figure of document.querySelectorAll(".search")) {
    const { rows, words } = JSON.parse(figure.querySelector("script").textContent);
    const grouped = Boolean(figure.querySelector("[name=group]"));
    const form = figure.querySelector("form");
    const body = figure.querySelector("tbody");
    const more = figure.querySelector(".more");
    const said = (group) => (words[group] || []).join("\n");
    // What is searched: both texts, the reason, the id, and what the teacher said.
    const texts = rows.map((row) => [...row.slice(3), said(row[1])].join("\n").toLowerCase());
    let found = [];
    let shown = 0;

    function line(position) {
      const [kept, group, rank, request, response, why, id] = rows[position];
      const row = document.createElement("tr");
      row.className = kept ? "kept" : "dropped";
      row.title = id;
      const cells = [cell("Verdict", kept ? "kept" : "dropped", "verdict")];
      if (grouped) {
        cells.push(cell("Cluster", group < 0 ? "" : String(group), "number"));
        cells.push(cell("Rank", rank ? String(rank) : "", "number"));
      }
      cells.push(folded("Request", request), folded("Response", response), cell("Why", why, "why"));
      if (grouped) cells.push(folded("The teacher's words", said(group)));
      row.append(...cells);
      return row;
    }

    function next() {
      body.append(...found.slice(shown, shown + PAGE).map(line));
      shown = Math.min(shown + PAGE, found.length);
      more.hidden = shown >= found.length;
    }

    function filter() {
      const wanted = form.words.value.trim().toLowerCase();
      const kind = form.kind.value;
      const group = grouped ? form.group.value : "";
      found = [...rows.keys()].filter(
        (position) =>
          (!kind || rows[position][0] === Number(kind)) &&
          (!group || rows[position][1] === Number(group)) &&
          (!wanted || texts[position].includes(wanted)),
      );
      if (group) found.sort((a, b) => (rows[a][2] || Infinity) - (rows[b][2] || Infinity));
      const count = (number) => number.toLocaleString("en");
      form.querySelector("output").textContent = `${count(found.length)} of ${count(rows.length)} rows`;
      body.replaceChildren();
      shown = 0;
      next();
    }

    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    more.addEventListener("click", next);
    filter();
  }
})();
