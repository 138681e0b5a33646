// Charts of the figures on the page, pictures of them, and fields that answer at once.
// Without it the page shows the same numbers as tables, and its form has a button.
"use strict";

const root = document.documentElement.dataset.root || "";
const language = document.documentElement.lang;
const options = { responsive: true, displaylogo: false, displayModeBar: false, locale: language };

// Plotly would fetch the coasts of the world from elsewhere, for maps that show none of them.
const none = { type: "GeometryCollection", geometries: [] };
const layers = ["coastlines", "land", "ocean", "lakes", "rivers", "countries", "subunits"];
const world = { type: "Topology", arcs: [], objects: Object.fromEntries(layers.map((l) => [l, none])) };
window.PlotlyGeoAssets = { topojson: { world_110m: world, world_50m: world } };

// Plotly knows the days and months of English alone; the browser those of all languages.
function learnLanguage() {
  const named = (count, date, style) => Array.from({ length: count }, (_, n) =>
    new Date(date(n)).toLocaleDateString(language, { ...style, timeZone: "UTC" }).replace(".", ""));
  const months = (style) => named(12, (n) => Date.UTC(2023, n), { month: style });
  const days = (style) => named(7, (n) => Date.UTC(2023, 0, 1 + n), { weekday: style });
  window.Plotly.register({
    moduleType: "locale",
    name: language,
    dictionary: {},
    format: {
      months: months("long"), shortMonths: months("short"), days: days("long"), shortDays: days("short"),
      month: "%b %Y", dayMonth: "%-d %b", dayMonthYear: "%-d %b %Y",
    },
  });
}

function fitted(layout, width) {
  if (width >= 600) return layout;
  const small = { ...layout, font: { ...layout.font, size: 11 } };
  if (small.height > 440 && layout.geo === undefined && !layout.annotations) return small;
  if (small.height > 440) small.height = 400;
  if (layout.annotations) {
    small.annotations = layout.annotations.map((one) => ({ ...one, font: { ...one.font, size: 10 } }));
  }
  return small;
}

function draw(place) {
  const data = document.querySelector(`script[data-figure="${place.id}"]`);
  const figure = JSON.parse(data.textContent);
  for (const trace of figure.data) {
    if (typeof trace.geojson === "string") trace.geojson = root + trace.geojson;
  }
  const layout = fitted(figure.layout, place.clientWidth);
  return window.Plotly.newPlot(place, figure.data, layout, options).then(() => {
    place.dataset.drawn = "1";
  });
}

function picture(button) {
  const place = document.getElementById(button.dataset.png);
  const title = place.dataset.title;
  const layout = { ...place.layout, title: { text: title, font: { size: 16 } } };
  layout.margin = { ...layout.margin, t: 48 };
  window.Plotly.downloadImage(
    { data: place.data, layout },
    { format: "png", width: 1200, height: 700, scale: 2, filename: title.replace(/[^\p{L}\p{N}]+/gu, "-") },
  );
}

function live(form) {
  for (const field of form.querySelectorAll("select, input[type=date]")) {
    let typed = false;
    // Who goes through options with the arrow keys is not taken away at the first of them.
    field.addEventListener("keydown", (event) => { typed = !["Enter", " "].includes(event.key); });
    field.addEventListener("pointerdown", () => { typed = false; });
    field.addEventListener("change", () => { if (!typed) form.requestSubmit(); });
  }
  form.addEventListener("submit", () => {
    // An address without what is not chosen is short, and means the same.
    for (const field of form.elements) if (field.name && field.value === "") field.disabled = true;
  });
}

function search(field) {
  const list = document.getElementById(field.getAttribute("list"));
  let latest = 0;
  field.addEventListener("input", async () => {
    const own = (latest += 1);
    const answer = await fetch(`${field.dataset.values}?q=${encodeURIComponent(field.value)}`);
    if (!answer.ok || own !== latest) return;
    list.replaceChildren(...(await answer.json()).map((one) => {
      const option = document.createElement("option");
      option.value = one.value;
      return option;
    }));
  });
}

document.querySelectorAll("form[data-live]").forEach(live);
document.querySelectorAll("input[data-values]").forEach(search);
window.addEventListener("pageshow", () => {
  // Going back shows the page as it was left, with the fields that were not sent.
  for (const form of document.querySelectorAll("form[data-live]")) {
    for (const field of form.elements) field.disabled = false;
  }
});
if (window.Plotly) {
  if (language !== "en") learnLanguage();
  const places = [...document.querySelectorAll(".chart")];
  for (const button of document.querySelectorAll("[data-png]")) {
    button.hidden = false;
    button.addEventListener("click", () => picture(button));
  }
  // One after the other, so that the first is there at once.
  places.reduce((before, place) => before.then(() => draw(place)), Promise.resolve());
}
