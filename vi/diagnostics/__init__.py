"""What the latents do: functions of (model, x)."""
