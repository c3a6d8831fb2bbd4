// Sorting, filtering and hover. Everything that this script touches is already on the page without it.
"use strict";

const $$ = (query, within = document) => [...within.querySelectorAll(query)];

// ---- charts: the static drawing is replaced by the same chart with hover, when it comes into view; the curves
// of single runs have no static drawing, only their numbers, and one specification for all
function drawCharts(within = document) {
  if (!window.vegaEmbed) return;
  const draw = async (figure) => {
    const given = JSON.parse(figure.querySelector("script").textContent);
    const spec = figure.classList.contains("curves") ? { ...structuredClone(window.runCurves), datasets: given } : given;
    const plot = figure.querySelector(".plot");
    const box = document.createElement("div");
    box.style.width = "100%";
    box.setAttribute("aria-hidden", "true"); // the plot around it is labelled as one picture
    const height = plot.getBoundingClientRect().height;
    plot.style.minHeight = `${height}px`;
    const least = plot.classList.contains("wide-plot") ? 560 : 180; // a wide plot scrolls on a narrow screen
    spec.width = Math.max(least, Math.min(plot.clientWidth, 736) - (spec.layer.some((l) => l.mark?.type === "text") ? 140 : 64));
    spec.config.legend.columns = plot.clientWidth < 480 ? 3 : 6;
    plot.replaceChildren(box);
    await window.vegaEmbed(box, spec, { renderer: "svg", actions: false });
    plot.style.minHeight = "";
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "200px" });
  $$("figure.chart", within).forEach((figure) => seen.observe(figure));
}

// ---- the leaderboard: its whole state is in the address
const controls = document.getElementById("controls");
const boards = $$(".board");
const state = { scale: "", ratio: "", metric: "tokens", q: "", sort: "", hide: "", open: "" };

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(state)) if (given.has(key)) state[key] = given.get(key);
}

function writeAddress() {
  const kept = new URLSearchParams(Object.entries(state).filter(([key, value]) => value && !(key === "metric" && value === "tokens")));
  history.replaceState(null, "", `#${kept}`);
  $$("a[data-keep]").forEach((a) => { a.hash = location.hash; });
}

const board = () => boards.find((b) => b.dataset.scale === state.scale && b.dataset.ratio === state.ratio);

function visible(cell) {
  return !cell.classList.contains("gone") && cell.dataset.c;
}

// ---- other sweeps are other pages: corpus and backend lead to the one that shares most with this one
function offerSweeps() {
  const sweeps = JSON.parse(controls.dataset.sweeps).map(([slug, title, corpus, backend]) => ({ slug, title, corpus, backend }));
  const here = sweeps.find((s) => s.slug === controls.dataset.here);
  const go = (sweep) => { if (sweep && sweep !== here) location.href = `${controls.dataset.root}${sweep.slug}/index.html${location.hash}`; };
  const fill = (name, values, current, choose) => {
    const select = controls.elements[name];
    if (!select) return;
    for (const [value, label] of values) select.add(new Option(label, value, false, value === current));
    select.value = current; // a page that is gone back to must not show where it led
    select.onchange = () => go(choose(select.value));
  };
  const distinct = (key) => [...new Set(sweeps.map((s) => s[key]))].map((v) => [v, v]);
  fill("sweep", sweeps.map((s) => [s.slug, s.title]), here.slug, (v) => sweeps.find((s) => s.slug === v));
  for (const [key, other] of [["corpus", "backend"], ["backend", "corpus"]]) {
    fill(key, distinct(key), here[key], (v) => {
      const fit = sweeps.filter((s) => s[key] === v);
      return fit.find((s) => s[other] === here[other]) ?? fit[0];
    });
  }
}

function show() {
  const current = board();
  boards.forEach((b) => b.classList.toggle("gone", b !== current));
  const hidden = new Set(state.hide.split(",").filter(Boolean));
  if (!current) {
    say(`${state.scale} was not compared at ${state.ratio}×; choose another ratio or scale.`);
    writeAddress();
    return;
  }
  $$("[data-c]", current).forEach((cell) => cell.classList.toggle("gone", hidden.has(cell.dataset.c)));
  count(current);
  sort(current);
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const row of $$("tbody tr[id]", current)) {
    const text = row.textContent.toLowerCase();
    const match = words.every((word) => text.includes(word));
    row.classList.toggle("gone", !match);
    found += match;
    toggle(row, match && state.open.split(",").includes(row.id));
  }
  say(words.length ? `${found} of ${$$("tbody tr[id]", current).length} rows` : "");
  writeAddress();
}

// What a speedup is counted in: the page shows tokens; beside each table stands what its cells say otherwise.
const inTokens = new Map();

function count(current) {
  const metrics = JSON.parse(current.querySelector("script[type='application/json']").textContent);
  current.querySelector("table").style.setProperty("--o", metrics.one[state.metric]);
  current.querySelector("thead [data-c=speedup] button").firstChild.textContent = `Speedup in ${state.metric} `;
  for (const [id, others] of Object.entries(metrics.rows)) {
    const row = document.getElementById(id);
    const [speedup, verdict] = [row.querySelector("[data-c=speedup]"), row.querySelector("[data-c=verdict]")];
    if (!inTokens.has(row)) inTokens.set(row, [speedup.dataset.v, speedup.innerHTML, verdict.dataset.v, verdict.textContent]);
    const [value, html, name, label] = inTokens.get(row);
    const other = others[state.metric];
    speedup.innerHTML = html;
    [speedup.dataset.v, verdict.dataset.v, verdict.textContent] = other ? [other.sort, other.verdict, other.label] : [value, name, label];
    verdict.className = `verdict ${verdict.dataset.v}`;
    if (!other) continue;
    const [point, range, bar] = ["b", ".range", ".bar"].map((q) => speedup.querySelector(q));
    if (!point) continue;
    [point.textContent, range.textContent] = [other.point, other.interval];
    if (!bar) continue;
    bar.hidden = !other.bar;
    (other.bar ?? []).forEach((at, i) => bar.style.setProperty(["--a", "--b", "--p"][i], at));
  }
}

function sort(current) {
  const down = state.sort.startsWith("-");
  const key = state.sort.replace(/^-/, "");
  for (const th of $$("thead th", current)) {
    if (th.dataset.c === key) th.setAttribute("aria-sort", down ? "descending" : "ascending");
    else th.removeAttribute("aria-sort");
  }
  const body = current.querySelector("tbody");
  const rows = $$("tr[id]", body);
  const value = (row) => row.querySelector(`[data-c="${CSS.escape(key)}"]`)?.dataset.v ?? "";
  const compare = (a, b) => {
    if (!key) return a.dataset.order - b.dataset.order;
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === ""); // what is missing comes last, either way
    const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
    return (down ? -order : order) || a.dataset.order - b.dataset.order;
  };
  for (const row of rows.sort(compare)) {
    const detail = row.nextElementSibling?.classList.contains("detail") ? row.nextElementSibling : null;
    body.append(row);
    if (detail) body.append(detail);
  }
}

// ---- a row's detail comes from a script beside the cell's page: a file:// page may not fetch
const waiting = new Map();
window.cell = (name, html) => { waiting.get(name)?.(html); };

function toggle(row, open) {
  const button = row.querySelector(".expand");
  if ((button.getAttribute("aria-expanded") === "true") === open) return;
  button.setAttribute("aria-expanded", open);
  button.textContent = open ? "▾" : "▸";
  let detail = row.nextElementSibling;
  if (!open) {
    if (detail?.classList.contains("detail")) detail.remove();
    return;
  }
  detail = document.createElement("tr");
  detail.className = "detail";
  detail.setAttribute("role", "row");
  const td = document.createElement("td");
  td.setAttribute("role", "cell");
  td.colSpan = row.children.length;
  td.textContent = "Loading …";
  detail.append(td);
  row.after(detail);
  const source = row.querySelector("th a").href.replace(/\.html$/, ".js");
  waiting.set(row.id, (html) => {
    td.innerHTML = html;
    $$("a[href]", td).forEach((a) => { a.href = new URL(a.getAttribute("href"), source); });
    drawCharts(td);
  });
  const script = document.createElement("script");
  script.src = source;
  script.onload = () => script.remove();
  document.head.append(script);
}

// ---- copying: exactly the cells that are shown
function table() {
  const current = board();
  if (!current) return []; // a scale that was not compared at this ratio
  const text = (cell) => {
    const copy = cell.cloneNode(true);
    $$("svg, .expand", copy).forEach((x) => x.remove());
    return copy.textContent.replace(/[↕↑↓]/g, "").replace(/\s+/g, " ").trim();
  };
  const rows = [$$("thead tr", current)[0], ...$$("tbody tr[id]:not(.gone)", current)];
  return rows.map((row) => $$("[data-c]", row).filter(visible).map(text));
}

const formats = {
  csv: (rows) => {
    const inert = (c) => (/^[=@\t\r]|^[+-](?![\d.]+( %|×)?$)/.test(c) ? `'${c}` : c); // a spreadsheet would run it as a formula
    const quoted = (c) => (/[",\n]/.test(c) ? `"${c.replaceAll('"', '""')}"` : c);
    return rows.map((r) => r.map((c) => quoted(inert(c))).join(",")).join("\n");
  },
  markdown: (rows) => {
    const line = (r) => `| ${r.map((c) => c.replaceAll("|", "\\|")).join(" | ")} |`;
    return [line(rows[0]), line(rows[0].map(() => "---")), ...rows.slice(1).map(line)].join("\n");
  },
  latex: (rows) => {
    const special = { "×": "$\\times$", "±": "$\\pm$", "∞": "$\\infty$", "−": "$-$", "–": "--", "≈": "$\\approx$", "▲": "$\\blacktriangle$", "▼": "$\\blacktriangledown$", "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
    const safe = (c) => c.replace(/[&%$#_{}]/g, "\u0000$&").replace(/[×±∞−–≈▲▼\\~^]/g, (x) => special[x]).replaceAll("\u0000", "\\");
    const line = (r) => `${r.map(safe).join(" & ")} \\\\`;
    return [`\\begin{tabular}{${"l".repeat(rows[0].length)}}`, "\\toprule", line(rows[0]), "\\midrule", ...rows.slice(1).map(line), "\\bottomrule", "\\end{tabular}"].join("\n");
  },
};

function say(text) {
  document.getElementById("status").textContent = text;
}

async function copy(kind) {
  const rows = table();
  if (!rows.length) return say("There is nothing to copy: no table is shown.");
  const text = formats[kind](rows);
  document.body.dataset.copied = text;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a file:// page may have no clipboard
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(`Copied as ${kind === "csv" ? "CSV" : kind === "latex" ? "LaTeX" : "Markdown"}`);
}

// As cards on a narrow screen the table's cells are blocks; these roles keep them a table for screen readers.
function keepRoles(table) {
  const roles = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TD: "cell" };
  for (const part of [table, ...$$("*", table)]) {
    if (part.tagName === "TH") part.setAttribute("role", part.scope === "row" ? "rowheader" : "columnheader");
    else if (roles[part.tagName]) part.setAttribute("role", roles[part.tagName]);
  }
}

function setUp() {
  controls.hidden = false;
  boards.forEach((b) => { b.classList.add("scripted"); keepRoles(b.querySelector("table")); });
  [state.scale, state.ratio] = [boards[0].dataset.scale, boards[0].dataset.ratio];
  readAddress();
  offerSweeps();
  if (![...controls.elements.metric.options].some((o) => o.value === state.metric)) state.metric = "tokens";
  if (!board()) [state.scale, state.ratio] = [boards[0].dataset.scale, boards[0].dataset.ratio]; // an address from another sweep
  for (const current of boards) {
    $$("tbody tr[id]", current).forEach((row, i) => {
      row.dataset.order = i;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "expand";
      button.textContent = "▸";
      button.setAttribute("aria-expanded", "false");
      button.setAttribute("aria-label", `Details of ${row.querySelector("th").textContent.trim()}`);
      button.onclick = () => {
        const open = new Set(state.open.split(",").filter(Boolean));
        open.has(row.id) ? open.delete(row.id) : open.add(row.id);
        state.open = [...open].join(",");
        show();
      };
      row.querySelector("th").prepend(button);
    });
    for (const th of $$("thead th", current)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      button.onclick = () => {
        const key = th.dataset.c;
        state.sort = state.sort === key ? `-${key}` : key;
        show();
      };
      th.append(button);
    }
  }
  const box = controls.querySelector(".columns fieldset");
  const hidden = new Set(state.hide.split(",").filter(Boolean));
  const named = (th) => th.querySelector("button").firstChild.textContent.trim();
  const label = (th) => { const unit = th.querySelector("small"); return unit && /^(Trials|Tokens)$/.test(named(th)) ? `${named(th)}, ${unit.textContent}` : named(th); };
  const offered = new Map($$("thead th", boards[0]).map((th) => [th.dataset.c, label(th)]));
  offered.delete("optimizer"); // always there: it names the row
  for (const [key, label] of offered) {
    const item = document.createElement("label");
    const input = document.createElement("input");
    input.type = "checkbox";
    input.checked = !hidden.has(key);
    input.value = key;
    input.onchange = () => {
      state.hide = $$("input:not(:checked)", box).map((i) => i.value).join(",");
      show();
    };
    item.append(input, ` ${key === "speedup" ? "Speedup" : label}`);
    box.append(item);
  }
  for (const name of ["scale", "ratio", "metric", "q"]) {
    const input = controls.elements[name];
    if (!input) continue;
    input.value = state[name];
    input[name === "q" ? "oninput" : "onchange"] = () => { state[name] = input.value; show(); };
  }
  controls.onsubmit = (event) => event.preventDefault();
  $$("[data-copy]").forEach((button) => { button.onclick = () => copy(button.dataset.copy); });
  addEventListener("hashchange", () => location.reload());
  show();
}

if (controls && boards.length) setUp();
drawCharts();
if ("live" in document.body.dataset) setTimeout(() => location.reload(), 30_000);
