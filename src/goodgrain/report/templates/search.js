// Fills and filters tables of rows; all that comes from data goes in as text.
(function () {
  "use strict";
  const PAGE = 20;
  const HEADS = ["", "Cluster", "Rank", "Request", "Response", "Why", "The teacher's words"];

  function cell(text, name) {
    const box = document.createElement("td");
    box.className = name || "";
    box.textContent = text;
    return box;
  }

  function folded(text, length) {
    const box = document.createElement("td");
    box.className = "folded";
    const line = text.replace(/\s+/g, " ").trim();
    if (line.length <= length) {
      box.textContent = line;
      return box;
    }
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = line.slice(0, length) + " …";
    const rest = document.createElement("p");
    rest.textContent = text;
    details.append(summary, rest);
    box.append(details);
    return box;
  }

  for (const figure of document.querySelectorAll(".search")) {
    const { rows, words } = JSON.parse(figure.querySelector("script").textContent);
    const grouped = Boolean(figure.querySelector("[name=group]"));
    const form = figure.querySelector("form");
    const body = figure.querySelector("tbody");
    const more = figure.querySelector(".more");
    const heads = HEADS.filter((_, column) => grouped || ![1, 2, 6].includes(column));
    const top = document.createElement("tr");
    for (const head of heads) {
      const name = document.createElement("th");
      name.scope = "col";
      name.textContent = head;
      top.append(name);
    }
    figure.querySelector("thead").append(top);
    let found = rows;
    let shown = 0;

    function line([kept, group, rank, request, response, why, id]) {
      const row = document.createElement("tr");
      row.className = kept ? "kept" : "dropped";
      row.title = id;
      const said = (words[group] || []).join("\n");
      const cells = [cell(kept ? "kept" : "dropped", "verdict")];
      if (grouped) cells.push(cell(group < 0 ? "" : String(group), "number"), cell(rank ? String(rank) : "", "number"));
      cells.push(folded(request, 140), folded(response, 140), cell(why));
      if (grouped) cells.push(folded(said, 120));
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
      found = rows.filter(
        (row) =>
          (!kind || row[0] === Number(kind)) &&
          (!group || row[1] === Number(group)) &&
          (!wanted || [row[3], row[4], row[5], row[6]].some((text) => text.toLowerCase().includes(wanted))),
      );
      if (group) found = [...found].sort((a, b) => (a[2] || Infinity) - (b[2] || Infinity));
      form.querySelector("output").textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
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
