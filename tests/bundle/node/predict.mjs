// Ask a bundle from Node.js: node predict.mjs BUNDLE ROWS.json. Needs the package onnxruntime-node, and no Sixfold.
import fs from "node:fs";
import path from "node:path";
import ort from "onnxruntime-node";

const WHOLE = /^(0|-?[1-9]\d*)$/;

// The one writing of a level: of numbers 1 and 1.0 are "1", of booleans true and TRUE are "True"; texts stay as they are.
function level(value, column) {
  const text = String(value).trim();
  if (column.level_type === "boolean" && /^(true|false)$/i.test(text)) return /^true$/i.test(text) ? "True" : "False";
  if (column.level_type === "number" && !WHOLE.test(text) && /^-?\d+\.\d+$/.test(text)) return String(Number(text) + 0);
  return text;
}

function cell(value, column, missing) {
  const text = value === null || value === undefined ? "" : String(value).trim();
  const isMissing = text === "" || missing.includes(text);
  if (column.type === "category") return isMissing ? "" : level(value, column);
  if (isMissing) return NaN;
  if (column.type === "boolean") return /^(true|yes|t|y|1|1\.0)$/i.test(text) ? 1 : 0;
  if (column.type === "date") {
    if (typeof value === "number") return value; // seconds since 1970
    const zoned = /(Z|[+-]\d\d:?\d\d)$/.test(text) || !text.includes(":") ? text : text.replace(" ", "T") + "Z";
    return Date.parse(zoned) / 1000;
  }
  const number = Number(text);
  if (Number.isNaN(number)) throw new Error(`column ${column.name}: expected a number; found ${text}`);
  return number;
}

// One matrix of numbers and one of texts, each with its columns in the order of the signature.
function feedsOf(signature, rows) {
  const texts = signature.inputs.filter((column) => column.type === "category");
  const numbers = signature.inputs.filter((column) => column.type !== "category");
  const matrix = (columns) =>
    rows.flatMap((row) => columns.map((column) => cell(row[column.name], column, signature.missing)));
  const feeds = {};
  if (numbers.length > 0) {
    const data = Float64Array.from(matrix(numbers));
    feeds.numbers = new ort.Tensor("float64", data, [rows.length, numbers.length]);
  }
  if (texts.length > 0) feeds.categories = new ort.Tensor("string", matrix(texts), [rows.length, texts.length]);
  return feeds;
}

const [bundle, file] = process.argv.slice(2);
const signature = JSON.parse(fs.readFileSync(path.join(bundle, "signature.json"), "utf8"));
const rows = JSON.parse(fs.readFileSync(file, "utf8"));
const session = await ort.InferenceSession.create(path.join(bundle, "model.onnx"));
const results = await session.run(feedsOf(signature, rows));
const answers = rows.map((_, number) => {
  const answer = {};
  for (const { name, columns } of signature.outputs) {
    const values = Array.from(results[name].data).slice(number * columns.length, (number + 1) * columns.length);
    answer[name] = name === "label" ? values[0] : Object.fromEntries(columns.map((column, i) => [column, values[i]]));
  }
  return answer;
});
console.log(JSON.stringify(answers));
