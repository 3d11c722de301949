// What the page was given, and what this browser keeps of it between visits.
"use strict";

const DATA = JSON.parse(document.getElementById("raypipe").textContent);
const API = document.querySelector('meta[name="raypipe-api"]')?.content ?? null;
const VERDICTS = { object: "Object", distractor: "Distractor", unsure: "Unsure" };

// Where the browser keeps nothing (private windows, blocked storage, a full one) memory has to do,
// and the page says so: `keeping` is false then.
const memory = new Map();
let keeping = true;

function recall(name, fallback) {
  if (memory.has(name)) return memory.get(name);
  try {
    return JSON.parse(localStorage.getItem(name)) ?? fallback;
  } catch {
    return fallback;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    memory.delete(name);
  } catch {
    memory.set(name, value);
    keeping = false;
  }
}

function probe() {
  try {
    localStorage.setItem("raypipe:probe", "1");
    localStorage.removeItem("raypipe:probe");
  } catch {
    keeping = false;
  }
}
probe();

// An answer is about the regions that were shown: class and membership name it, not its number.
function keyOf(question) {
  return JSON.stringify([question.class, question.membership]);
}

function median(numbers) {
  const sorted = numbers.filter((value) => value !== null).sort((a, b) => a - b);
  if (!sorted.length) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
