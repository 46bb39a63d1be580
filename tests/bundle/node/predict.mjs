// Ask a bundle from Node.js: node predict.mjs BUNDLE ROWS.json. Needs the package onnxruntime-node, and no Sixfold.
import fs from "node:fs";
import path from "node:path";
import ort from "onnxruntime-node";

const OUTPUTS = ["label", "probability", "decision", "value"]; // a column of such a name is called input_NAME

function cell(value, column, missing) {
  const text = value === null || value === undefined ? "" : String(value).trim();
  const isMissing = text === "" || missing.includes(text);
  if (column.type === "category") return isMissing ? "" : text;
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

function feedsOf(signature, rows) {
  const feeds = {};
  for (const column of signature.inputs) {
    const values = rows.map((row) => cell(row[column.name], column, signature.missing));
    const name = OUTPUTS.includes(column.name) ? `input_${column.name}` : column.name;
    const isText = column.type === "category";
    const data = isText ? values : Float64Array.from(values);
    feeds[name] = new ort.Tensor(isText ? "string" : "float64", data, [rows.length, 1]);
  }
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
