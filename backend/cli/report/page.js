"use strict";
// All text gets on the page as text (textContent), never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const lessIsBetter = (metric) => /^(ter|wer|cer|repetition\d)$/.test(metric);
  const metrics = Object.keys(data.scores);
  const names = data.systems.map((one) => one.system);
  const number = (value, digits = 2) =>
    value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
  const digitsOf = (metric) =>
    /^(bleu|chrf|ter|wer|cer|exact-match|token-f1)/.test(metric) ? 2 : 4;

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }
  function shape(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function fill(select, choices) {
    for (const [value, label] of choices) select.append(element("option", { value }, label));
  }

  // ---- scores ----
  function scoreCell(metric, system, best) {
    const one = data.systems[system].metrics[metric];
    const digits = digitsOf(metric);
    const cell = element("td", {}, number(one.score, digits));
    if (best) cell.style.fontWeight = "700";
    if (one.low !== undefined) {
      cell.append(element("small", {}, `${number(one.low, digits)} – ${number(one.high, digits)}`));
    }
    if (one.p_value !== undefined) {
      cell.append(element("small", {}, `p = ${number(one.p_value, 4)}`));
    }
    return cell;
  }
  function drawScores() {
    const head = element("tr", {}, element("th", { scope: "col" }, "Metric"));
    for (const name of names) head.append(element("th", { scope: "col", dir: "auto" }, name));
    const body = element("tbody");
    for (const metric of metrics) {
      const values = data.systems.map((one) => one.metrics[metric].score);
      const top = lessIsBetter(metric) ? Math.min(...values) : Math.max(...values);
      const label = element("th", { scope: "row" }, metric + (lessIsBetter(metric) ? " ↓" : ""));
      const row = element("tr", {}, label);
      row.title = data.systems[0].metrics[metric].signature;
      const ranked = names.length > 1 && !/^length/.test(metric);
      values.forEach((value, system) =>
        row.append(scoreCell(metric, system, ranked && value === top)));
      body.append(row);
    }
    const caption = "Below each score its 95 % bootstrap interval" +
      (names.length > 1 ? ", and p of the difference to the first system." : ".");
    $("scores").append(element("p", { class: "note" }, caption),
      element("table", {}, element("thead", {}, head), body));
  }

  // ---- plots ----
  const edgesOf = (lists, most) => {
    let low = Infinity, high = -Infinity, whole = true;
    for (const list of lists) for (const x of list) {
      low = Math.min(low, x); high = Math.max(high, x); whole &&= Number.isInteger(x);
    }
    if (!(high > low)) { low = Math.min(low, 0); high = low + 1; }
    if (!whole) return { low, high, bins: most, width: (high - low) / most };
    // Of whole numbers each bar has equally many.
    const width = Math.ceil((high - low + 1) / most);
    return { low, high, bins: Math.ceil((high - low + 1) / width), width };
  };
  function histogram(title, lists, labels) {
    const wide = 360, tall = 170, left = 34, bottom = 20;
    const { low, high, bins, width } = edgesOf(lists, lists.length > 2 ? 10 : 16);
    const bound = (x) => number(x, Number.isInteger(x) ? 0 : 2);
    const counts = lists.map((list) => {
      const count = new Array(bins).fill(0);
      for (const x of list) count[Math.min(bins - 1, Math.floor((x - low) / width))]++;
      return count;
    });
    const most = Math.max(1, ...counts.flat());
    const svg = shape("svg", { viewBox: `0 0 ${wide} ${tall}`, role: "img" });
    const means = lists.map((list, i) =>
      `${labels[i]}: mean ${number(list.reduce((a, b) => a + b, 0) / Math.max(1, list.length))}`);
    svg.append(shape("title", {}, `${title}. ${means.join("; ")}.`));
    const step = (wide - left) / bins, bar = (step - 2) / lists.length;
    counts.forEach((count, s) => count.forEach((n, i) => {
      const height = n / most * (tall - bottom - 14);
      const box = shape("rect", { x: left + i * step + 1 + s * bar, y: tall - bottom - height,
        width: Math.max(1, bar - .5), height, class: `f${s % 4}` });
      box.append(shape("title", {},
        `${labels[s]}: ${n} segments from ${number(low + i * width)} to ${number(low + (i + 1) * width)}`));
      svg.append(box);
    }));
    const base = tall - bottom + .5;
    svg.append(shape("line", { x1: left, x2: wide, y1: base, y2: base, class: "axis" }),
      shape("text", { x: left - 4, y: 14, "text-anchor": "end" }, String(most)),
      shape("text", { x: left - 4, y: base, "text-anchor": "end" }, "0"),
      shape("text", { x: left, y: tall - 5 }, bound(low)),
      shape("text", { x: wide, y: tall - 5, "text-anchor": "end" }, bound(high)));
    return element("figure", {}, element("figcaption", {}, title), svg,
      element("p", { class: "note" }, means.join("; ")));
  }
  function lengthPlot() {
    const wide = 360, tall = 170, left = 34, bottom = 20;
    const { reference, systems } = data.lengths;
    const top = Math.max(1, ...systems.map((list) => list.reduce((a, b) => Math.max(a, b), 0)),
      reference.reduce((a, b) => Math.max(a, b), 0));
    const svg = shape("svg", { viewBox: `0 0 ${wide} ${tall}`, role: "img" });
    svg.append(shape("title", {}, "Words of outputs over words of references, at most 600 segments"));
    const x = (n) => left + n / top * (wide - left - 6), y = (n) => tall - bottom - n / top * (tall - bottom - 12);
    svg.append(shape("line", { x1: x(0), y1: y(0), x2: x(top), y2: y(top), class: "axis", "stroke-dasharray": "3 3" }));
    const stride = Math.max(1, Math.ceil(reference.length / 600));
    systems.forEach((list, s) => {
      for (let i = 0; i < list.length; i += stride) {
        svg.append(shape("circle", { cx: x(reference[i]), cy: y(list[i]), r: 2, class: `f${s % 4}`, "fill-opacity": .55 }));
      }
    });
    const base = tall - bottom + .5;
    svg.append(shape("line", { x1: left, x2: wide, y1: base, y2: base, class: "axis" }),
      shape("text", { x: left - 4, y: 14, "text-anchor": "end" }, String(top)),
      shape("text", { x: wide, y: tall - 5, "text-anchor": "end" }, `reference: ${top} words`));
    return element("figure", {}, element("figcaption", {}, "Output over reference length"), svg);
  }
  function drawPlots() {
    const metric = $("plot-metric").value;
    $("plots").replaceChildren(
      histogram(`${metric} of segments`, data.scores[metric], names),
      histogram("Words of outputs", data.lengths.systems, names), lengthPlot());
  }
  function drawLegend() {
    names.forEach((name, s) => {
      const key = shape("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
      key.append(shape("rect", { width: 10, height: 10, class: `f${s % 4}` }));
      $("legend").append(element("span", {}, key, name));
    });
  }

  // ---- speed and memory ----
  function drawStatistics() {
    if (!data.statistics.length) return;
    $("speed").hidden = false;
    const keys = [...new Set(data.statistics.flatMap((one) => Object.keys(one)))]
      .filter((key) => data.statistics.some((one) => ["number", "string"].includes(typeof one[key])));
    const show = (key, value) => value === undefined ? "–" : typeof value !== "number" ? value
      : /bytes/.test(key) ? `${number(value / 2 ** 20, 1)} MiB`
      : /seconds/.test(key) ? `${number(value)} s` : number(value, Number.isInteger(value) ? 0 : 2);
    const rate = (one) => one.generated_tokens / (one.encode_seconds + one.decode_seconds);
    const bars = (title, values, unit) => {
      const top = Math.max(...values), svg = shape("svg", { viewBox: `0 0 360 ${values.length * 34}`, role: "img" });
      svg.append(shape("title", {}, `${title}: ${values.map((v, s) => `${names[s]} ${number(v, 1)} ${unit}`).join(", ")}`));
      values.forEach((value, s) => svg.append(
        shape("text", { x: 0, y: s * 34 + 11 }, `${names[s]}: ${number(value, 1)} ${unit}`),
        shape("rect", { x: 0, y: s * 34 + 15, width: top > 0 ? value / top * 360 : 0, height: 12, class: `f${s % 4}` })));
      return element("figure", {}, element("figcaption", {}, title), svg);
    };
    const plots = element("div", { class: "plots" });
    if (data.statistics.every((one) => rate(one) > 0)) {
      plots.append(bars("Output tokens per second", data.statistics.map(rate), "tokens/s"));
    }
    const cache = (one) => (one.cross_cache_bytes + one.self_cache_bytes) / 2 ** 20;
    if (data.statistics.every((one) => cache(one) > 0)) {
      plots.append(bars("Attention caches", data.statistics.map(cache), "MiB"));
    }
    const head = element("tr", {}, element("th", { scope: "col" }, "Counter"));
    data.statistics.forEach((_, s) => head.append(element("th", { scope: "col" }, names[s])));
    const body = element("tbody");
    for (const key of keys) {
      const row = element("tr", {}, element("th", { scope: "row" }, key.replaceAll("_", " ")));
      for (const one of data.statistics) row.append(element("td", {}, show(key, one[key])));
      body.append(row);
    }
    $("speed").append(plots, element("details", {}, element("summary", {}, "All counters"),
      element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "All counters" },
        element("table", {}, element("thead", {}, head), body))));
  }

  // ---- parity ----
  function drawParity() {
    if (!data.parity) return;
    $("parity").hidden = false;
    data.parity.forEach((one, i) => {
      const name = names[i + 1], equal = one.equal === one.segments;
      let text = equal ? `Equal: all ${one.segments} texts of ${name} are those of ${names[0]}.`
        : `Different: ${one.segments - one.equal} of ${one.segments} texts of ${name} are not those of ` +
          `${names[0]}; the first is #${one.different[0] + 1}.`;
      if (one.equal_tokens !== undefined) {
        text += ` Token sequences are equal in ${one.equal_tokens} of ${one.segments}; their scores differ by at most ` +
          `${one.score_difference.toExponential(1)}.`;
      }
      $("parity").append(element("p", { class: equal ? "verdict equal" : "verdict" }, text));
    });
  }

  // ---- segments ----
  // Words of `mine` marked against `other`: longest common subsequence, as a diff.
  function marked(other, mine, showDeleted) {
    const a = other.split(/\s+/).filter(Boolean), b = mine.split(/\s+/).filter(Boolean);
    if (a.length * b.length > 1e6) return [mine];
    const w = b.length + 1, table = new Uint32Array((a.length + 1) * w);
    for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) {
      table[i * w + j] = a[i] === b[j] ? table[(i + 1) * w + j + 1] + 1
        : Math.max(table[(i + 1) * w + j], table[i * w + j + 1]);
    }
    const runs = [];
    const add = (kind, word) => {
      const last = runs[runs.length - 1];
      if (last && last.kind === kind) last.words.push(word); else runs.push({ kind, words: [word] });
    };
    let i = 0, j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) { add("same", b[j]); i++; j++; }
      else if (j === b.length || (i < a.length && table[(i + 1) * w + j] >= table[i * w + j + 1])) {
        if (showDeleted) add("del", a[i]);
        i++;
      } else add("ins", b[j++]);
    }
    return runs.flatMap(({ kind, words }, n) => {
      const text = words.join(" ");
      return [n ? " " : "", kind === "same" ? text : element(kind, {}, text)];
    });
  }
  function difference(row) {
    const [a, b] = [row.systems[0], row.systems[1] ?? row.references[0]].map((text) => text.split(/\s+/));
    if (a.length * b.length > 1e6) return a.join(" ") === b.join(" ") ? 0 : Math.max(a.length, b.length);
    let before = Array.from({ length: b.length + 1 }, (_, j) => j);
    a.forEach((word, i) => {
      const now = [i + 1];
      b.forEach((other, j) => now.push(Math.min(before[j + 1] + 1, now[j] + 1, before[j] + (word !== other))));
      before = now;
    });
    return before[b.length];
  }
  const differs = (row) => row.systems.some((text) => text !== row.systems[0]);
  function block(term, scores, content) {
    const title = element("dt", { dir: "auto" }, term, " ");
    if (scores) title.append(element("span", { class: "score" }, scores));
    return element("div", {}, title, element("dd", { dir: "auto" }, ...content));
  }
  function draw(row) {
    const list = element("dl"), outputs = element("dl");
    if (row.source !== undefined) list.append(block("Source", "", [row.source]));
    row.references.forEach((text, i) =>
      list.append(block(row.references.length > 1 ? `Reference ${i + 1}` : "Reference", "", [text])));
    row.systems.forEach((text, s) => {
      const shown = metrics.slice(0, 3)
        .map((metric) => `${metric} ${number(data.scores[metric][s][row.id], digitsOf(metric))}`).join(" · ");
      const first = s === 0;
      const content = !first && text === row.systems[0] ? [text]
        : marked(first ? row.references[0] : row.systems[0], text, !first);
      const against = first ? `against ${row.references.length > 1 ? "reference 1" : "the reference"}` : text === row.systems[0] ? `same as ${names[0]}` : `against ${names[0]}`;
      outputs.append(block(names[s], `${shown} · ${against}`, content));
    });
    return element("li", { id: `segment-${row.id + 1}` }, element("h3", {}, `#${row.id + 1}`), list, outputs);
  }

  const orders = [["file", "as in the file"], ["worst", "worst first"], ["best", "best first"],
    ["longest", "longest output first"], ["different", names.length > 1 ? "most different systems first" : "most different from the reference first"]];
  const pageSize = 25;
  let chosen = [], drawn = 0;
  function choose() {
    const order = $("order").value, metric = $("order-metric").value, system = Number($("order-system").value);
    const words = $("search").value.toLowerCase().trim();
    $("by").hidden = order !== "worst" && order !== "best";
    $("of").hidden = names.length < 2 || (order !== "worst" && order !== "best" && order !== "longest");
    chosen = data.rows.filter((row) => (!$("different").checked || differs(row)) && (!words ||
      [row.source ?? "", ...row.references, ...row.systems].some((text) => text.toLowerCase().includes(words))));
    const score = (row) => data.scores[metric][system][row.id];
    const sign = (order === "worst") === lessIsBetter(metric) ? -1 : 1;
    if (order === "worst" || order === "best") chosen.sort((a, b) => sign * (score(a) - score(b)));
    if (order === "longest") chosen.sort((a, b) => data.lengths.systems[system][b.id] - data.lengths.systems[system][a.id]);
    if (order === "different") {
      for (const row of chosen) row.difference ??= difference(row);
      chosen.sort((a, b) => b.difference - a.difference);
    }
    $("list").replaceChildren();
    drawn = 0;
    more();
  }
  function more(focus) {
    const next = chosen.slice(drawn, drawn + pageSize).map(draw);
    $("list").append(...next);
    drawn += next.length;
    $("more").hidden = drawn >= chosen.length;
    $("count").textContent = `${drawn} of ${chosen.length} segments` +
      (data.rows.length < data.segments ? `; the page has ${data.rows.length} of ${data.segments}` : "");
    if (focus && next.length) { next[0].tabIndex = -1; next[0].focus(); }
  }

  $("title").textContent = data.title;
  $("summary").textContent = `${number(data.segments, 0)} segments, ${names.length} system${names.length > 1 ? "s" : ""}. elbeam ${data.version}`;
  fill($("plot-metric"), metrics.map((metric) => [metric, metric]));
  fill($("order"), orders);
  fill($("order-metric"), metrics.map((metric) => [metric, metric]));
  fill($("order-system"), names.map((name, s) => [s, name]));
  $("order-system").value = names.length - 1;
  $("only").hidden = names.length < 2;
  drawParity();
  drawScores();
  drawLegend();
  drawPlots();
  drawStatistics();
  choose();
  $("plot-metric").addEventListener("change", drawPlots);
  for (const id of ["order", "order-metric", "order-system", "different"]) $(id).addEventListener("change", choose);
  $("search").addEventListener("input", choose);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("more").addEventListener("click", () => more(true));
  document.documentElement.dataset.ready = "yes";
})();
