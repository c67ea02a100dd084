
// Sorts and filters the tables of sites. Without it, the page shows the same.
(function () {
  "use strict";
  var tables = Array.from(document.querySelectorAll("table.sites"));

  function key(row, column) {
    var cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
  }

  function sort(table, column, isDescending) {
    var body = table.tBodies[0];
    var rows = Array.from(body.rows);
    rows.sort(function (left, right) {
      var first = key(left, column);
      var second = key(right, column);
      var order = first < second ? -1 : first > second ? 1 : 0;
      return isDescending ? -order : order;
    });
    rows.forEach(function (row) { body.appendChild(row); });
    apply();
  }

  function makeSortable(table) {
    Array.from(table.tHead.rows[0].cells).forEach(function (cell, column, cells) {
      var button = document.createElement("button");
      button.textContent = cell.textContent;
      button.addEventListener("click", function () {
        // Numbers begin with the largest, names with the first.
        var isNumber = cell.classList.contains("number");
        var was = cell.getAttribute("aria-sort");
        var isDescending = was ? was === "ascending" : isNumber;
        cells.forEach(function (other) { other.removeAttribute("aria-sort"); });
        cell.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
        sort(table, column, isDescending);
      });
      cell.textContent = "";
      cell.appendChild(button);
    });
  }

  // Zooming and unfolding change how high the graph is.
  Array.from(document.querySelectorAll("iframe")).forEach(function (frame) {
    function fit() {
      var graph = frame.contentDocument && frame.contentDocument.querySelector("svg");
      if (!graph || !window.ResizeObserver) return;
      new ResizeObserver(function () {
        // Later: what is measured here must not change while it is.
        requestAnimationFrame(function () {
          // Around the graph are the frame's border, and a scroll bar where the graph is too wide.
          var around = frame.offsetHeight - frame.clientHeight + 16;
          frame.style.height = graph.getBoundingClientRect().height + around + "px";
        });
      }).observe(graph);
    }
    frame.addEventListener("load", fit);
    fit();
  });

  var filter = document.getElementById("filter");
  var matches = document.getElementById("matches");
  var texts = new Map();
  var isDue = false;
  // Rows of a table that are shown at once: laying out ten thousand takes seconds.
  var most = 500;

  // What rows are looked for by, kept: there may be many thousands.
  function text(row) {
    if (!texts.has(row)) texts.set(row, (row.cells[0].textContent + " " + row.cells[1].textContent).toLowerCase());
    return texts.get(row);
  }

  function apply() {
    var wanted = filter.value.toLowerCase();
    isDue = false;
    var isCut = false;
    var counts = tables.map(function (table) {
      var rows = Array.from(table.tBodies[0].rows), count = 0;
      rows.forEach(function (row) {
        var isMatch = text(row).indexOf(wanted) >= 0;
        if (isMatch) count += 1;
        var isShown = isMatch && count <= most;
        if (row.hidden === isShown) row.hidden = !isShown;
      });
      if (count > most) isCut = true;
      return table.closest("details").querySelector("summary").textContent + ": " + count + " of " + rows.length +
        (count > most ? " (the first " + most + " are shown)" : "");
    });
    matches.textContent = wanted || isCut ? counts.join(", ") : "";
    all.hidden = !isCut;
  }

  function applySoon() {
    if (!isDue) requestAnimationFrame(apply);
    isDue = true;
  }

  var all = document.createElement("button");
  all.type = "button";
  all.textContent = "show all";
  all.addEventListener("click", function () {
    most = Infinity;
    apply();
  });
  matches.after(" ", all);
  apply();
  filter.addEventListener("input", applySoon);
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && event.target !== filter && !event.ctrlKey && !event.altKey && !event.metaKey) {
      filter.focus();
      event.preventDefault();
    }
  });
  tables.forEach(makeSortable);
})();
