
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
  filter.addEventListener("input", function () {
    var wanted = filter.value.toLowerCase();
    tables.forEach(function (table) {
      Array.from(table.tBodies[0].rows).forEach(function (row) {
        var text = row.cells[0].textContent + " " + row.cells[1].textContent;
        row.hidden = text.toLowerCase().indexOf(wanted) < 0;
      });
    });
  });
  tables.forEach(makeSortable);
})();
