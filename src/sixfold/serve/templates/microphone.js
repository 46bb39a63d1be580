// A microphone as WAV files. Nothing is loaded for it, and nothing leaves the page but by `hear`.
const TICK_MS = 500, LIVE_TICKS = 3;
// 16 bits, one channel: the mean of an AudioBuffer's channels, of which the first `longest` seconds are kept.
function wavFile(sound, longest) {
  const count = Math.min(sound.length, Math.floor(longest * sound.sampleRate)), bytes = 2 * count;
  const channels = Array.from({length: sound.numberOfChannels}, (_, at) => sound.getChannelData(at));
  const view = new DataView(new ArrayBuffer(44 + bytes)), rate = sound.sampleRate;
  const text = (place, letters) => Array.from(letters).forEach((letter, at) => view.setUint8(place + at, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + bytes, true); text(8, "WAVEfmt "); view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); view.setUint16(22, 1, true); view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); text(36, "data"); view.setUint32(40, bytes, true);
  for (let at = 0; at < count; at++) {
    const mean = channels.reduce((sum, channel) => sum + channel[at], 0) / channels.length;
    view.setInt16(44 + 2 * at, Math.max(-32768, Math.min(32767, Math.round(32768 * mean))), true);
  }
  return new File([view], "microphone.wav", {type: "audio/wav"});
}
// The button in `place` starts a recording, and ends it; it ends by itself after `longest` seconds. `words`: what button and status
// say. `hear(file, ended)` is given the whole of it, and, where `live`, every other second what there is so far: one at a time,
// and none of which it fails counts.
function microphone(place, {words, rate, longest, live}, hear) {
  const button = place.querySelector("button"), status = place.querySelector("[role=status]"), clock = place.querySelector(".clock");
  const time = seconds => Math.floor(seconds / 60) + ":" + String(Math.floor(seconds) % 60).padStart(2, "0");
  let recorder = null, asking = false;
  async function decoded(parts) {
    const content = await new Blob(parts, {type: parts[0].type}).arrayBuffer();
    return wavFile(await new OfflineAudioContext(1, 1, rate).decodeAudioData(content), longest);
  }
  function listen(stream) {
    const parts = [], started = performance.now();
    let heard = Promise.resolve(), waiting = false;
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = event => {
      if (event.data.size) parts.push(event.data);
      if (recorder.state !== "recording") return;
      const seconds = (performance.now() - started) / 1000;
      clock.textContent = time(seconds) + " / " + time(longest);
      if (seconds >= longest) return recorder.stop();
      if (!live || waiting || !parts.length || parts.length % LIVE_TICKS) return;
      waiting = true;
      heard = decoded(parts.slice()).then(file => hear(file, false)).catch(() => {}).finally(() => { waiting = false; });
    };
    recorder.onstop = async () => {
      for (const track of stream.getTracks()) track.stop();
      button.textContent = words.record;
      clock.textContent = "";
      await heard;
      const file = await decoded(parts).catch(() => null);
      status.textContent = file ? "" : words.nothing;
      if (file) hear(file, true);
    };
    recorder.start(TICK_MS);
    button.textContent = words.stop;
    status.textContent = words.listening;
  }
  async function start() {
    if (!window.isSecureContext) return words.insecure;
    if (!navigator.mediaDevices || !window.MediaRecorder || !window.OfflineAudioContext) return words.unsupported;
    status.textContent = words.asking;
    try {  // as it is: what a browser does to voices is not what the model was trained on
      listen(await navigator.mediaDevices.getUserMedia({audio: {channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false}}));
      return words.listening;
    } catch (problem) {
      if (problem.name === "NotFoundError") return words.missing;
      return problem.name === "NotAllowedError" || problem.name === "SecurityError" ? words.refused : words.busy + " (" + problem.name + ")";
    }
  }
  button.addEventListener("click", async () => {
    if (recorder && recorder.state === "recording") return recorder.stop();
    if (asking) return;
    asking = true;
    status.textContent = await start();
    asking = false;
  });
}
