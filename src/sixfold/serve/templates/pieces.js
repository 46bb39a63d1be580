// What an answer depends on, in colors and in numbers: blue where the answer would be less without a piece, red where it would be more.
const LARGEST = 8, LISTED = 400, MOST_CELLS = 256, LEAST = .01;
function add(parent, tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  parent.append(node);
  return node;
}
function shade(change, widest) { return "rgba(" + (change < 0 ? "200, 50, 40, " : "40, 110, 220, ") + (.8 * Math.abs(change) / widest).toFixed(3) + ")"; }
function signed(change) { return (change < 0 ? "" : "+") + change.toPrecision(3); }
function widestOf(changes) { return changes.reduce((most, change) => Math.max(most, Math.abs(change)), 1e-300); }
function largestOf(entries, count) { return entries.slice().sort((one, other) => Math.abs(other[1]) - Math.abs(one[1])).slice(0, count); }
// The text's pieces with their colors. `pairs`: [text, change].
function showWords(parent, pairs, widest) {
  const line = add(parent, "p", undefined, "words");
  line.dir = "auto";
  for (const [text, change] of pairs) {
    const span = add(line, "span", text);
    span.style.background = shade(change, widest);
    span.title = signed(change);
  }
}
function showBar(parent, name, change, widest) {
  const line = add(parent, "div", undefined, "added");
  add(line, "span", name);
  add(add(line, "div", undefined, "half"), "i", undefined, change < 0 ? "less" : "more").style.width = (100 * Math.abs(change) / widest) + "%";
  add(line, "em", signed(change));
}
// The largest as bars with their numbers, and all of them as a table. `entries`: [name, change]; `noun`: what a name is of.
function showNumbers(parent, entries, noun) {
  const widest = widestOf(entries.map(([, change]) => change));
  const largest = largestOf(entries, LARGEST).filter(([, change]) => Math.abs(change) >= LEAST * widest);
  for (const [name, change] of largest) showBar(parent, name.trim() || "(space)", change, widest);
  if (entries.length === largest.length) return;
  const details = add(parent, "details"), some = entries.slice(0, LISTED);
  add(details, "summary", (some.length < entries.length ? "The first " + LISTED + " of " : "All ") + entries.length + " numbers");
  const table = add(add(details, "div"), "table"), head = add(table, "tr");
  for (const text of [noun, "change"]) add(head, "th", text).scope = "col";
  for (const [name, change] of some) {
    const row = add(table, "tr");
    add(row, "th", name.trim() || "(space)").scope = "row";
    add(row, "td", signed(change));
  }
}
// Sums of a grid's cells, where there are too many for as many elements.
function coarse(grid) {
  if (grid.length * grid[0].length <= MOST_CELLS) return grid;
  const side = Math.sqrt(MOST_CELLS) / 2, place = (size, at) => Math.floor(size * at / side);
  const found = Array.from({length: side}, () => Array(side).fill(0));
  for (let row = 0; row < side; row++) for (let column = 0; column < side; column++)
    for (let y = place(grid.length, row); y < place(grid.length, row + 1); y++)
      for (let x = place(grid[0].length, column); x < place(grid[0].length, column + 1); x++) found[row][column] += grid[y][x];
  return found;
}
// A grid of colors that lies over all of `parent`; `label`: what is said to who does not see it.
function showGrid(parent, grid, widest, label) {
  const [rows, columns] = [grid.length, grid[0].length];
  const area = add(parent, rows * columns <= MOST_CELLS ? "div" : "canvas");
  area.setAttribute("role", "img");
  area.setAttribute("aria-label", label);
  if (rows * columns <= MOST_CELLS) {
    area.style.gridTemplateColumns = "repeat(" + columns + ", 1fr)";
    for (const change of grid.flat()) {
      const cell = add(area, "i");
      cell.style.background = shade(change, widest);
      cell.title = signed(change);
    }
    return area;
  }
  Object.assign(area, {width: columns, height: rows});
  const context = area.getContext("2d");
  grid.forEach((row, y) => row.forEach((change, x) => { context.fillStyle = shade(change, widest); context.fillRect(x, y, 1, 1); }));
  return area;
}
function inWords(entries) { return largestOf(entries, 3).map(([name, change]) => name.trim() + " " + signed(change)).join("; "); }
function shownShare(share) { return (100 * share).toFixed(0) + " %"; }
function faithfulnessOf(areas) {
  return "Faithful? Taken away in this order, largest first, pieces move the answer by " + shownShare(areas.deletion) + " of its way on average (in random order " + shownShare(areas.random_deletion)
    + "; more is better); put in, they leave " + shownShare(areas.insertion) + " of it (in random order " + shownShare(areas.random_insertion) + "; less is better).";
}
