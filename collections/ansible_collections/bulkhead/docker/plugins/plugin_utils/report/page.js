"use strict";
// Data come from hosts that may be compromised: they are set as text, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const body = $("heat").tBodies[0];
  const rows = Array.from(body.rows);
  const { layers, controls, attack } = JSON.parse($("fleet-data").textContent);
  const BADNESS = { absent: 0, unknown: 1, degraded: 2, enforced: 3, not_applicable: 4 };
  const firstLayer = 3; // the columns before it: host, condition, age

  const make = (tag, text, ...children) => {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    element.append(...children);
    return element;
  };
  const statusOf = (row, layer) => row.cells[firstLayer + Number(layer)].classList[2];

  // Filter
  const matches = (row) => {
    const terms = $("terms").value.toLowerCase().split(/\s+/).filter(Boolean);
    const condition = $("condition").value;
    const own = row.cells[1].textContent;
    const layer = $("layer").value;
    const status = $("status").value;
    const cells = layer === "" ? layers.map((_, index) => index) : [layer];
    return (
      terms.every((term) => row.dataset.q.includes(term)) &&
      (condition === "" || (condition === "!" ? own !== "verified" : own === condition)) &&
      (status === "" || cells.some((index) => statusOf(row, index) === status))
    );
  };
  const filter = () => {
    let shown = 0;
    for (const row of rows) {
      row.hidden = !matches(row);
      shown += !row.hidden;
    }
    $("shown").textContent = `${shown} of ${rows.length} hosts shown.`;
    reachable($("heat"));
  };
  const form = document.querySelector(".tools");
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));

  // Sort
  const collator = new Intl.Collator("en", { numeric: true });
  const name = (row) => row.cells[0].textContent;
  const keyOf = (row, key) => {
    if (key === "rank" || key === "out" || key === "exposed") return Number(row.dataset[key]);
    if (key === "age") return row.dataset.age === "" ? Infinity : Number(row.dataset.age);
    return BADNESS[statusOf(row, key)] ?? 1;
  };
  const sort = (button) => {
    const head = button.parentElement;
    const key = button.dataset.key;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sign = down ? -1 : 1;
    const keys = new Map(rows.map((row) => [row, key === "host" ? 0 : keyOf(row, key)]));
    rows.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x !== y) return x < y ? -sign : sign;
      return key === "host" ? sign * collator.compare(name(a), name(b)) : collator.compare(name(a), name(b));
    });
    body.replaceChildren(...rows);
    reachable($("heat"));
  };
  $("heat").tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) sort(button);
  });

  // The tab key stops once per table; the arrow keys move inside it (ARIA Authoring Practices: grid).
  const stops = new Map();
  let opened = null;
  const openable = (row) => Array.from(row.querySelectorAll(".o"));
  const move = (cell, focus) => {
    const table = cell.closest("table");
    if (stops.has(table)) stops.get(table).tabIndex = -1;
    stops.set(table, cell);
    cell.tabIndex = 0;
    if (focus) cell.focus();
  };
  const shownRows = (table) => Array.from(table.tBodies[0].rows).filter((row) => !row.hidden);
  const reachable = (table) => {
    if (stops.has(table) && !stops.get(table).parentElement.hidden) return;
    const first = shownRows(table)[0];
    if (first) move(openable(first)[0], false);
  };
  const grid = (table, open) => {
    const show = (cell) => {
      opened = cell;
      move(cell, false);
      open(cell);
      $("details").showModal();
    };
    table.tBodies[0].addEventListener("click", (event) => {
      const cell = event.target.closest(".o");
      if (cell) show(cell);
    });
    table.tBodies[0].addEventListener("keydown", (event) => {
      const cell = event.target.closest(".o");
      if (!cell) return;
      const shown = shownRows(table);
      const line = shown.indexOf(cell.parentElement);
      const own = openable(cell.parentElement);
      const column = own.indexOf(cell);
      const at = (y) => openable(shown[Math.max(0, Math.min(shown.length - 1, y))])[column];
      const action = {
        ArrowUp: () => move(at(line - 1), true),
        ArrowDown: () => move(at(line + 1), true),
        PageUp: () => move(at(line - 20), true),
        PageDown: () => move(at(line + 20), true),
        ArrowLeft: () => move(own[Math.max(0, column - 1)], true),
        ArrowRight: () => move(own[Math.min(own.length - 1, column + 1)], true),
        Home: () => move(own[0], true),
        End: () => move(own[own.length - 1], true),
        Enter: () => show(cell),
        " ": () => show(cell),
      }[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
    reachable(table);
  };

  // Evidence
  const evidence = (layer) => {
    const table = make("table");
    table.className = "evidence";
    for (const [source, value] of layer.evidence) table.append(make("tr", "", make("td", "", make("code", source)), make("td", "", make("code", value))));
    return table;
  };
  const findings = (found) => {
    const list = make("ul");
    for (const finding of found) {
      const item = make("li", finding.text);
      if (finding.waived) item.append(make("div", `~ ${finding.waived}`));
      else if (finding.remedy) item.append(make("div", `→ ${finding.remedy}`));
      item.append(make("div", "", make("small", [finding.id, ...finding.controls.map((c) => controls[c] ?? c)].join("; "))));
      list.append(item);
    }
    return list;
  };
  const layerParts = (host, index) => {
    const about = layers[index];
    const layer = host.layers[about.name];
    const parts = [];
    if (!layer) return [make("p", `No evidence: ${host.why}`)];
    parts.push(make("p", `${layer.status}, ${layer.requirement}. Expected: ${layer.expected}.`));
    if (layer.evidence.length) parts.push(make("h3", "Evidence and sources"), evidence(layer));
    if (layer.findings.length) parts.push(make("h3", "Findings"), findings(layer.findings));
    if (about.by_hand) parts.push(make("h3", "By hand, on the host"), make("pre", about.by_hand));
    for (const container of host.containers) {
      const own = container.layers[about.name];
      if (!own) continue;
      parts.push(make("h3", `Container ${container.name}: ${own.status}${container.opted_out.includes(about.name) ? ", opted out" : ""}`), evidence(own));
      if (own.findings.length) parts.push(findings(own.findings));
      if (about.by_hand_container) parts.push(make("pre", about.by_hand_container.replace("CONTAINER", container.id)));
    }
    return parts;
  };
  const hostParts = (host) => {
    const parts = [make("p", host.why)];
    const facts = make("table");
    const about = { groups: host.groups.join(", "), "report written": host.written, age: host.age, ...host.about, "running containers": String(host.running) };
    for (const [key, value] of Object.entries(about)) if (value) facts.append(make("tr", "", make("th", key.replaceAll("_", " ")), make("td", value)));
    parts.push(facts);
    if (host.findings.length) parts.push(make("h3", "Findings"), findings(host.findings));
    if (host.exposures.length) {
      const list = make("ul");
      for (const { line, texts } of host.exposures) {
        const item = make("li", line);
        for (const text of texts) item.append(make("div", "", make("small", text)));
        list.append(item);
      }
      parts.push(make("h3", "Granted to containers"), list);
    }
    if (host.containers.length) parts.push(make("h3", "Containers that deviate"));
    for (const container of host.containers) {
      const notes = make("ul");
      for (const note of container.notes) notes.append(make("li", note));
      parts.push(make("p", `${container.name} (${container.image}, ${container.id.slice(0, 12)})`), notes);
    }
    return parts;
  };
  const hostData = (row) => JSON.parse($(`h${row.dataset.n}`).textContent);
  const fillDialog = (title, parts) => {
    $("details-title").textContent = title;
    $("details-body").replaceChildren(...parts);
  };
  const openHost = (cell) => {
    const host = hostData(cell.parentElement);
    const column = cell.cellIndex - firstLayer;
    const again = [make("h3", "Verify again, from the control node"), make("pre", host.again)];
    fillDialog(column < 0 ? host.host : `${host.host}: ${layers[column].title}`, [...(column < 0 ? hostParts(host) : layerParts(host, column)), ...again]);
  };
  const kindText = (kind) => {
    const parts = [kind.outcome.replace("_", " ")];
    if (kind.errno) parts.push(`with ${kind.errno}`);
    if (kind.step) parts.push(`at ${kind.step}`);
    if (kind.by) parts.push(`by ${kind.by.join(", ")}`);
    if (kind.logged !== undefined) parts.push(kind.logged ? "the kernel logged it" : `not logged${kind.silent ? `: ${kind.silent}` : ""}`);
    if (kind.trace) parts.push(`the kernel counted ${kind.trace}`);
    return parts.join(", ") + (kind.detail ? `. ${kind.detail}` : "");
  };
  const openAttack = (cell) => {
    const row = Number(cell.parentElement.dataset.row);
    const column = cell.cellIndex - 1;
    const byKind = new Map();
    for (const tableRow of rows) {
      const host = hostData(tableRow);
      const number = host.attacks[row * attack.columns.length + column];
      if (number === undefined || number < 0) continue;
      byKind.set(number, [...(byKind.get(number) ?? []), host.host]);
    }
    const parts = [];
    for (const [number, names] of byKind) parts.push(make("h3", kindText(attack.kinds[number])), make("p", names.sort(collator.compare).join(", ")));
    fillDialog(`${attack.rows[row]}: ${attack.columns[column].title}`, parts.length ? parts : [make("p", "Not run.")]);
  };
  $("details").addEventListener("close", () => opened.focus());

  const filterControls = () => {
    const { section, level, status } = $("control-filter").elements;
    const all = Array.from($("control-table").tBodies[0].rows);
    for (const row of all) {
      row.hidden =
        (section.value && row.dataset.section !== section.value) ||
        (level.value && row.dataset.level !== level.value) ||
        (status.value && !row.dataset.status.split(" ").includes(status.value));
    }
    $("controls-shown").textContent = `${all.filter((row) => !row.hidden).length} of ${all.length} controls shown.`;
  };
  if ($("control-filter")) {
    $("control-filter").addEventListener("input", filterControls);
    $("control-filter").addEventListener("submit", (event) => event.preventDefault());
    $("control-filter").addEventListener("reset", () => setTimeout(filterControls));
  }

  grid($("heat"), openHost);
  if ($("matrix")) grid($("matrix"), openAttack);
  filter();
})();
