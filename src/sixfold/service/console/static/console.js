// What pages do besides HTMX: curves and log of a job, drop of a file, the form beside the text, asking a model. Texts of others
// are put in as text, never as markup.
"use strict";
const SVG = "http://www.w3.org/2000/svg";
const COLORS = 6, LOG_LINES = 500, WIDTH = 460, HEIGHT = 210, LEFT = 56, RIGHT = 8, TOP = 10, BOTTOM = 24;
const token = () => document.body.dataset.formToken;

function add(parent, tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  parent.append(node);
  return node;
}
function draw(parent, tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}
const figure = value => typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);

// A chart of lines and dots. `lines`: name → {points: [[x, y]], color, dashed, dots}
function chart(place, title, lines, xName) {
  const points = lines.flatMap(line => line.points);
  place.replaceChildren();
  add(place, "h3", title);
  const xs = points.map(point => point[0]), ys = points.map(point => point[1]).filter(Number.isFinite);
  const low = ys.reduce((a, b) => Math.min(a, b), Infinity), high = ys.reduce((a, b) => Math.max(a, b), -Infinity);
  const pad = high > low ? (high - low) * .05 : Math.abs(high) * .05 || 1;
  const first = xs.reduce((a, b) => Math.min(a, b), Infinity), last = Math.max(xs.reduce((a, b) => Math.max(a, b), -Infinity), first + 1);
  const x = value => LEFT + (value - first) / (last - first) * (WIDTH - LEFT - RIGHT);
  const y = value => TOP + (high + pad - value) / (high - low + 2 * pad) * (HEIGHT - TOP - BOTTOM);
  const svg = draw(place, "svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": `${title}: ${figure(low)} – ${figure(high)}`});
  for (const value of high > low ? [low, (low + high) / 2, high] : [high]) {
    draw(svg, "line", {x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value), class: "axis"});
    draw(svg, "text", {x: LEFT - 6, y: y(value) + 4, "text-anchor": "end"}, figure(value));
  }
  draw(svg, "text", {x: LEFT, y: HEIGHT - 6}, `${xName} ${first}`);
  draw(svg, "text", {x: WIDTH - RIGHT, y: HEIGHT - 6, "text-anchor": "end"}, String(last));
  for (const line of lines) {
    const kept = line.points.filter(point => Number.isFinite(point[1]));
    if (!line.dots && kept.length > 1) draw(svg, "polyline", {points: kept.map(point => `${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`).join(" "), class: `c${line.color}${line.dashed ? " dashed" : ""}`});
    else for (const point of kept) draw(svg, "circle", {cx: x(point[0]), cy: y(point[1]), r: 3, class: `c${line.color}`});
  }
}
function legend(place, names, note) {
  const list = add(place, "ul", undefined, "legend");
  names.forEach((name, at) => add(list, "li", name, `c${at % COLORS}`));
  if (note) add(list, "li", note, "note");
}

// A stream of events, of whatever kind they are; asked again behind the last one where it broke off.
async function follow(address, take, ended) {
  const leaving = new AbortController(), url = new URL(address, location.href);
  addEventListener("pagehide", () => leaving.abort());
  while (!leaving.signal.aborted) {
    try {
      const response = await fetch(url, {signal: leaving.signal});
      if (response.status >= 400 && response.status < 500) return;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let left = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const blocks = (left + part.value).split("\n\n");
        left = blocks.pop();
        for (const block of blocks) {
          const lines = block.split("\n"), data = lines.find(line => line.startsWith("data: "));
          if (lines.includes("event: end")) return ended();
          if (!data) continue;
          const event = JSON.parse(data.slice(6));
          url.searchParams.set("after", event.seq);
          take(event);
        }
      }
    } catch { /* the server went away: it is asked again */ }
    await new Promise(done => setTimeout(done, 2000));
  }
}

// A job: its events as they come. Losses of each fit by epoch; scores of each fold by metric.
function watchJob(place) {
  const words = place.dataset, charts = document.getElementById("charts"), log = document.getElementById("log");
  const fits = new Map(), scores = new Map(), newest = Number(words.newest), panels = new Map();
  let due = false;
  const panel = name => { if (!panels.has(name)) panels.set(name, add(charts, "div")); return panels.get(name); };
  const fitOf = data => [data.candidate, data.fold === undefined || data.fold === null ? "" : `${words.fold} ${data.fold + 1}`].filter(Boolean).join(", ");
  function show() {
    due = false;
    if (fits.size) {
      const names = [...fits.keys()].slice(-40), lines = [];
      names.forEach((name, at) => {
        const fit = fits.get(name);
        lines.push({points: fit.loss, color: at % COLORS});
        if (fit.validation.length) lines.push({points: fit.validation, color: at % COLORS, dashed: true});
      });
      chart(panel("loss"), words.loss, lines, words.epoch);
      legend(panel("loss"), names.slice(0, 12).map(name => name || words.loss), lines.some(line => line.dashed) ? `- - ${words.validation}` : "");
    }
    for (const [metric, byCandidate] of scores) {
      const names = [...byCandidate.keys()];
      const lines = names.map((name, at) => ({points: [...byCandidate.get(name)].map(([fold, value]) => [fold + 1, value]), color: at % COLORS, dots: true}));
      chart(panel(metric), `${words.scores}: ${metric}`, lines, words.fold);
      if (names.length > 1) legend(panel(metric), names.slice(0, 12));
    }
    document.getElementById("no-curves").hidden = panels.size > 0;
  }
  function take(event) {
    const data = event.data;
    if (event.kind === "epoch") {
      const name = fitOf(data);
      if (!fits.has(name)) fits.set(name, {loss: [], validation: []});
      const fit = fits.get(name), losses = data.losses || [data.loss], validations = data.validations || [];
      losses.forEach((loss, at) => fit.loss.push([data.epoch - losses.length + 1 + at, loss]));
      validations.forEach((loss, at) => fit.validation.push([data.epoch - validations.length + 1 + at, loss]));
    } else if (event.kind === "fold_scored") {
      for (const [metric, value] of Object.entries(data.scores || {})) {
        if (typeof value !== "number") continue;
        if (!scores.has(metric)) scores.set(metric, new Map());
        const byCandidate = scores.get(metric), name = data.candidate || "";
        if (!byCandidate.has(name)) byCandidate.set(name, new Map());
        byCandidate.get(name).set(data.fold, value);
      }
    }
    if (event.seq > newest) {
      const line = document.createElement("div"), at = new Date(event.at * 1000).toISOString();
      line.className = ["warn", "error"].includes(event.level) ? event.level : "info";
      add(line, "time", `${at.slice(0, 10)} ${at.slice(11, 19)} UTC`);
      line.append(" ");
      add(line, "span", event.message);
      log.prepend(line);
      if (log.children.length > LOG_LINES) log.lastElementChild.remove();
    }
    if (!due) { due = true; setTimeout(show, 200); }
  }
  follow(words.stream, take, () => document.body.dispatchEvent(new Event("moved")));
}

// The form beside the text: what the server read of it, and where it has a mistake.
function applyCheck(check) {
  const recipe = document.getElementById("recipe"), values = JSON.parse(check.dataset.values);
  recipe.setAttribute("aria-invalid", String(check.classList.contains("bad")));
  if (check.dataset.text !== undefined) recipe.value = check.dataset.text;
  for (const field of document.querySelectorAll("[data-path]")) {
    const value = values[field.dataset.path] ?? "";
    if (field !== document.activeElement && field.value !== value) field.value = value;
  }
}
function toLine(number) {
  const recipe = document.getElementById("recipe"), lines = recipe.value.split("\n");
  const start = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
  recipe.focus();
  recipe.setSelectionRange(start, start + (lines[number - 1] || "").length);
  recipe.scrollTop = (number - 3) * parseFloat(getComputedStyle(recipe).lineHeight);
}
function setField(path, value) {
  htmx.ajax("POST", `/console/recipe/field?path=${encodeURIComponent(path)}`, {target: "#check", swap: "innerHTML", values: {recipe: document.getElementById("recipe").value, value}});
}
// The plan is asked for when nothing was changed for a second, and nothing is to mend; what is shown of an older one is pale.
function planner() {
  const job = document.getElementById("job"), planned = document.getElementById("planned");
  let due, asked = "";
  return () => {
    const sent = JSON.stringify([...new FormData(job)].filter(([name]) => name === "recipe" || name.startsWith("beside:")));
    const good = document.querySelector("#check .check.good");
    clearTimeout(due);
    planned.classList.toggle("old", asked !== "" && (!good || sent !== asked));
    if (!good || sent === asked) return;
    due = setTimeout(() => { asked = sent; document.body.dispatchEvent(new Event("planned")); }, 1000);
  };
}
function newJob(upload) {
  const file = document.getElementById("file"), progress = document.getElementById("progress"), recipe = document.getElementById("recipe");
  const planSoon = planner(), begun = recipe.value;
  for (const kind of ["dragover", "drop"]) addEventListener(kind, event => event.preventDefault());  // a file beside the field opens no page
  upload.addEventListener("dragover", () => upload.classList.add("over"));
  upload.addEventListener("dragleave", () => upload.classList.remove("over"));
  upload.addEventListener("drop", event => {
    upload.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    file.files = event.dataTransfer.files;
    file.dispatchEvent(new Event("change", {bubbles: true}));
  });
  upload.addEventListener("submit", event => event.preventDefault());
  upload.addEventListener("htmx:xhr:progress", event => { progress.hidden = false; progress.value = event.detail.total ? event.detail.loaded / event.detail.total : 0; });
  upload.addEventListener("htmx:afterRequest", () => { progress.hidden = true; upload.reset(); });
  document.body.addEventListener("htmx:afterSwap", event => {
    const check = document.querySelector("#check .check"), place = event.detail.target;
    if (place.id === "check" && check) applyCheck(check);
    if (place.id === "planned") place.classList.remove("old");
    else planSoon();
    const use = place.id === "files" && recipe.value === begun && place.querySelector(".file:last-child [data-set='data.source']");
    if (use) setField(use.dataset.set, use.dataset.value);  // nobody has written anything yet
  });
  recipe.addEventListener("input", planSoon);
  planSoon();
  document.addEventListener("click", event => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.line) toLine(Number(button.dataset.line));
    else if (button.dataset.set) setField(button.dataset.set, button.dataset.value);
    else if ("removeFile" in button.dataset) {
      button.closest(".file").remove();
      planSoon();
      file.focus();
    }
  });
  document.addEventListener("change", event => { if (event.target.matches("select[data-set]")) setField(event.target.dataset.set, event.target.value); });
}

// Asking a model.
function refuse(place, error) {
  place.replaceChildren();
  const text = error.detail || (error.error && (error.error.message || `${error.error.where}: ${error.error.expected}; ${error.error.found}. ${error.error.remedy}`)) || String(error);
  add(place, "p", text, "fault").setAttribute("role", "alert");
}
function shares(place, scores, ofOne) {
  for (const [name, score] of Object.entries(scores).sort((a, b) => b[1] - a[1]).slice(0, 20)) {
    const row = add(place, "div", undefined, "share");
    add(row, "span", name);
    if (ofOne) {
      const meter = add(row, "meter");
      meter.value = score;
      meter.setAttribute("aria-label", name);
    } else add(row, "span");
    add(row, "b", ofOne ? `${(100 * score).toFixed(2)} %` : figure(score));
  }
}
// A picture dropped beside its field is chosen, and shown.
function pictures(place) {
  const input = place.querySelector("input"), shown = place.querySelector("img");
  place.addEventListener("dragover", event => { event.preventDefault(); place.classList.add("over"); });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", event => {
    event.preventDefault();
    place.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change"));
  });
  input.addEventListener("change", () => {
    const file = input.files[0];
    if (shown.src) URL.revokeObjectURL(shown.src);
    shown.hidden = !file || !file.type.startsWith("image/");
    if (!shown.hidden) shown.src = URL.createObjectURL(file);
  });
}
// What is recorded beside a field is its file: the form is sent with it. Of speech the words so far are shown before that.
function recordings(form, place) {
  for (const beside of form.querySelectorAll("[data-microphone]")) {
    const input = document.getElementById(beside.dataset.microphone), how = JSON.parse(beside.dataset.how);
    microphone(beside, {...how, words: JSON.parse(beside.dataset.words)}, async (file, ended) => {
      if (ended) {
        const chosen = new DataTransfer();
        chosen.items.add(file);
        input.files = chosen.files;
        return form.requestSubmit();
      }
      const sent = new FormData();
      sent.append(input.dataset.column, file, file.name);
      const response = await fetch(form.dataset.predict, {method: "POST", headers: {"X-CSRF-Token": token()}, body: sent});
      if (!response.ok) return;  // what is refused of the whole is said at the end
      const answer = (await response.json()).predictions[0];
      place.replaceChildren();
      add(place, "h3", form.dataset.soFar);
      add(place, "p", answer.text || "…", "answer");
    });
  }
}
function tryModel(form) {
  const place = document.getElementById("answer");
  form.querySelectorAll("[data-drop]").forEach(pictures);
  document.addEventListener("DOMContentLoaded", () => recordings(form, place));  // microphone.js is read behind this file
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const fields = [...form.querySelectorAll("[data-column]")], withFiles = fields.some(field => field.type === "file");
    const headers = {"X-CSRF-Token": token()}, row = {}, sent = new FormData();
    for (const field of fields) {
      const name = field.dataset.column;
      if (field.type === "file") sent.append(name, field.files[0], field.files[0].name);
      else sent.append(name, new Blob([field.value], {type: "text/plain"}), "text");
      row[name] = field.value === "" ? null : field.value;
    }
    if (!withFiles) headers["Content-Type"] = "application/json";
    const started = performance.now();
    try {
      const response = await fetch(form.dataset.predict, {method: "POST", headers, body: withFiles ? sent : JSON.stringify({rows: [row]})});
      const content = await response.json();
      if (!response.ok) return refuse(place, content);
      const answer = content.predictions[0];
      place.replaceChildren();
      if (answer.label !== undefined) add(place, "p", answer.label, "answer");
      if (answer.text !== undefined) add(place, "p", answer.text, "answer");
      if (answer.items !== undefined) {  // of a recommender: names as JSON, the best first
        const list = add(place, "ol");
        for (const item of JSON.parse(answer.items)) add(list, "li", item);
      }
      if (typeof answer.value === "number") add(place, "p", figure(answer.value), "answer");
      else if (answer.value) shares(place, answer.value, false);
      if (answer.probability) shares(place, answer.probability, true);
      if (answer.decision) shares(place, answer.decision, false);
      add(place, "small", `${form.dataset.took} ${(performance.now() - started).toFixed(0)} ms`);
    } catch (problem) { refuse(place, problem); }
  });
}
function chat(form) {
  const talk = document.getElementById("talk"), words = document.getElementById("words"), messages = [];
  const say = (who, text) => { const item = add(talk, "div"); add(item, "b", who); return add(item, "span", text); };
  words.addEventListener("keydown", event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); });
  form.addEventListener("submit", async event => {
    event.preventDefault();
    messages.push({role: "user", content: words.value});
    say(form.dataset.you, words.value);
    words.value = "";
    const place = say(form.dataset.it, "");
    try {
      const response = await fetch("/v1/chat/completions", {method: "POST", headers: {"Content-Type": "application/json", "X-CSRF-Token": token()}, body: JSON.stringify({model: form.dataset.model, messages, max_tokens: 256, stream: true})});
      if (!response.ok) { messages.pop(); return refuse(place, await response.json()); }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let left = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const lines = (left + part.value).split("\n");
        left = lines.pop();
        for (const line of lines) {
          if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
          const choice = (JSON.parse(line.slice(6)).choices || [])[0];
          if (choice && choice.delta && choice.delta.content) place.textContent += choice.delta.content;
        }
      }
      messages.push({role: "assistant", content: place.textContent});
    } catch (problem) { refuse(place, problem); }
  });
}

for (const [id, start] of Object.entries({curves: watchJob, upload: newJob, try: tryModel, chat})) {
  const place = document.getElementById(id);
  if (place) start(place);
}
