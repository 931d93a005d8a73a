// Draws every figure of the page in the page's own colours, and again when the reader turns dark mode on or off.
(function () {
  "use strict";
  const page = document.documentElement;
  const plots = Array.from(document.querySelectorAll(".plot"));
  const settings = {
    responsive: true,
    displaylogo: false,
    displayModeBar: "hover",
    modeBarButtons: [["toImage"]],
    doubleClick: false,
  };

  function colour(name) {
    return getComputedStyle(page).getPropertyValue(name).trim();
  }

  function standsBeside(note) {
    return note.name === "end";
  }

  function draw(plot) {
    const spec = JSON.parse(plot.nextElementSibling.textContent);
    const layout = spec.layout;
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.font = { family: getComputedStyle(page).fontFamily, size: 13, color: colour("--ink") };
    layout.hoverlabel = {
      bgcolor: colour("--card"),
      bordercolor: colour("--line"),
      font: { color: colour("--ink") },
      align: "left",
    };
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--ink") };
    if (plot.clientWidth < 480 && (layout.annotations || []).some(standsBeside)) {
      layout.annotations = layout.annotations.filter((note) => !standsBeside(note));
      Object.assign(layout, { showlegend: true, legend: { orientation: "h", x: 0, y: 1.14, yanchor: "bottom" } });
      layout.margin.r = 10;
    }
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis/.test(name)) {
        Object.assign(layout[name], { gridcolor: colour("--line"), linecolor: colour("--line") });
      }
    }
    for (const trace of spec.data) {
      if (trace.meta === "ink") {
        trace.marker.color = trace.marker.line.color = colour("--ink");
      }
    }
    return Plotly.react(plot, spec.data, layout, settings);
  }

  function drawAll() {
    return Promise.all(plots.map(draw));
  }

  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll().then(function () {
    page.dataset.drawn = plots.length;
  });
})();
