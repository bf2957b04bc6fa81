// What a page does beside being read: values under the pointer, sorted tables, and, where
// `vgg-train watch` shows it, what is new, and what the network makes of an image that is dropped.
// Nothing here is needed to read the page.
"use strict";

(() => {
  const select = (root, selector) => [...root.querySelectorAll(selector)];
  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  // ---- Values under the pointer ----

  const tip = element("div", "", "tip");
  tip.hidden = true;
  document.body.append(tip);
  const short = (value) => {
    const size = Math.abs(value);
    if (value !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(3);
    return String(Number(value.toPrecision(5)));
  };

  function hover(plot) {
    const number = (name) => Number(plot.dataset[name]);
    const [left, top, width, height] = ["left", "top", "width", "height"].map(number);
    const isLog = plot.dataset.xScale === "log";
    const along = (x) => (isLog ? Math.log(x) : x);
    const [x0, x1] = [along(number("x0")), along(number("x1"))];
    const series = select(plot, ".series").map((line) => ({
      name: line.dataset.name,
      points: line.dataset.points.split(" ").filter(Boolean).map((pair) => pair.split(",").map(Number)),
    }));
    const svg = plot.ownerSVGElement.closest("svg.drawing");
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
    cursor.setAttribute("class", "cursor");
    const area = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ x: left, y: top, width, height, fill: "transparent" })) {
      area.setAttribute(name, value);
    }
    area.setAttribute("class", "hover");
    plot.append(cursor, area);

    const show = (event) => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(area.getScreenCTM().inverse());
      const x = x0 + ((place.x - left) / width) * (x1 - x0);
      const nearest = (points) =>
        points.reduce((best, point) =>
          Math.abs(along(point[0]) - x) < Math.abs(along(best[0]) - x) ? point : best);
      const found = series.filter((line) => line.points.length).map((line) => [line.name, nearest(line.points)]);
      if (!found.length) return;
      const at = found.map(([, point]) => point[0])
        .reduce((best, value) => (Math.abs(along(value) - x) < Math.abs(along(best) - x) ? value : best));
      const lines = found.filter(([, point]) => point[0] === at)
        .map(([name, point]) => `${name || plot.dataset.yLabel || "value"}: ${short(point[1])}`);
      tip.textContent = [`${plot.dataset.xLabel} ${short(at)}`, ...lines].join("\n");
      tip.hidden = false;
      const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
      tip.style.left = `${Math.min(event.clientX + 14, innerWidth - wide - 4)}px`;
      tip.style.top = `${Math.max(4, event.clientY - high - 10)}px`;
      const cursorX = left + ((along(at) - x0) / (x1 - x0)) * width;
      cursor.setAttribute("d", `M${cursorX} ${top}v${height}`);
    };
    const hide = () => {
      tip.hidden = true;
      cursor.removeAttribute("d");
    };
    area.addEventListener("pointermove", show);
    area.addEventListener("pointerdown", show);
    area.addEventListener("pointerleave", hide);
    svg.addEventListener("pointercancel", hide);
  }

  // ---- Sorted tables ----

  function sortable(table) {
    const heads = select(table, "thead th");
    const value = (row, column) => {
      const cell = row.cells[column];
      return cell.dataset.value ?? cell.textContent.trim();
    };
    const compare = (a, b) => {
      const [x, y] = [Number(a), Number(b)];
      if (a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
      return a.localeCompare(b, undefined, { numeric: true });
    };
    heads.forEach((head, column) => {
      const button = element("button", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((a, b) => {
          const [x, y] = [value(a, column), value(b, column)];
          // What has no value is last, whichever way.
          if ((x === "") !== (y === "")) return x === "" ? 1 : -1;
          return descending ? compare(y, x) : compare(x, y);
        });
        body.append(...rows);
      });
    });
  }

  // ---- What the network makes of an image that is dropped ----

  function droppable(zone) {
    const answer = zone.querySelector(".answer");
    const input = zone.querySelector("input");
    async function classify(file) {
      answer.replaceChildren(element("p", `${file.name} …`));
      try {
        const response = await fetch(zone.dataset.url, { method: "POST", body: file });
        const said = await response.json();
        answer.replaceChildren();
        if (said.error) throw new Error(said.error);
        const list = element("ol");
        for (const { class: name, probability } of said.predictions) {
          list.append(element("li", `${(100 * probability).toFixed(1)} %  ${name}`));
        }
        answer.append(element("p", file.name), list);
        if (said.explanation) {
          const picture = element("img");
          picture.src = said.explanation;
          picture.alt = `Where the network looks for ${said.predictions[0].class}`;
          answer.append(picture);
        }
      } catch (error) {
        answer.replaceChildren(element("p", error.message, "wrong"));
      }
    }
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      if (event.dataTransfer.files[0]) classify(event.dataTransfer.files[0]);
    });
    input.addEventListener("change", () => input.files[0] && classify(input.files[0]));
  }

  // ---- The page as it is, and as it changes ----

  function enliven(root) {
    select(root, "g.plot").forEach(hover);
    select(root, "table.sortable").forEach(sortable);
  }
  enliven(document);
  select(document, ".drop").forEach(droppable);

  const { version, pageUrl } = document.body.dataset;
  if (version) {
    let shown = document.body.dataset.current;
    const look = async () => {
      try {
        const current = await (await fetch(version)).text();
        document.body.classList.remove("gone");
        if (current !== shown) {
          const text = await (await fetch(pageUrl)).text();
          const fresh = new DOMParser().parseFromString(text, "text/html");
          const open = select(document, "details[open][id]").map((details) => details.id);
          document.querySelector("main").replaceWith(fresh.querySelector("main"));
          document.title = fresh.title;
          open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
          enliven(document.querySelector("main"));
          shown = current;
        }
      } catch {
        document.body.classList.add("gone"); // the server has ended, or is busy
      }
      setTimeout(look, 500);
    };
    setTimeout(look, 500);
  }
})();
