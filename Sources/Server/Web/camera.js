// Pictures from the camera: a viewfinder where the browser lets pages see the camera, the phone's own camera elsewhere.

const $ = (id) => document.getElementById(id);

let stream;

function close() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = $("viewfinder").srcObject = null;
}

// Calls `take` with a file once a picture was taken.
export function prepare(take, say) {
  $("camera").addEventListener("click", async () => {
    // Phones have a better camera of their own, and pages that came over plain HTTP from elsewhere see none.
    if (!navigator.mediaDevices?.getUserMedia || matchMedia("(pointer: coarse)").matches) {
      $("photo").click();
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 }, facingMode: "environment" } });
    } catch (error) {
      say(error.name === "NotAllowedError" ? "The camera may not be used." : "There is no camera that can be used.");
      return;
    }
    $("viewfinder").srcObject = stream;
    $("camera-dialog").showModal();
  });
  $("camera-dialog").addEventListener("close", close);
  $("shoot").addEventListener("click", async () => {
    const view = $("viewfinder");
    if (!view.videoWidth) return;
    const canvas = new OffscreenCanvas(view.videoWidth, view.videoHeight);
    canvas.getContext("2d").drawImage(view, 0, 0);
    $("camera-dialog").close();
    take(new File([await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 })], "camera.jpg", { type: "image/jpeg" }));
  });
}
