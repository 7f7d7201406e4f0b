"""Theme: Gradio's own variables, each set to one of the design tokens that stand at the top of `static/hone.css`.

A colour is chosen there and nowhere else. Light and dark are the same tokens with other values, so no variable here
needs a dark twin.
"""

from __future__ import annotations

from gradio.themes import Base, Color, Font, Size

_ACCENT = Color(
    name="ink",
    c50="#eef3fd", c100="#dbe6fb", c200="#b9cef7", c300="#8fb0f0", c400="#6690e8", c500="#2f5fd0",
    c600="#2450b4", c700="#1e4294", c800="#1a3775", c900="#162d5e", c950="#0f1f42",
)  # fmt: skip
_NEUTRAL = Color(
    name="paper",
    c50="#f9fafb", c100="#f2f4f6", c200="#e3e6ea", c300="#cdd2d9", c400="#98a1ac", c500="#6c7683",
    c600="#545d69", c700="#3b434d", c800="#252b32", c900="#1a1f25", c950="#13171b",
)  # fmt: skip
_RADIUS = Size("6px", "6px", "6px", "6px", "6px", "6px", "6px", "radius_one")

_TOKENS = {
    "body_background_fill": "paper",
    "body_text_color": "ink",
    "body_text_color_subdued": "quiet",
    "background_fill_primary": "card",
    "background_fill_secondary": "well",
    "border_color_primary": "line",
    "border_color_accent": "accent",
    "border_color_accent_subdued": "line-strong",
    "color_accent_soft": "accent-soft",
    "link_text_color": "accent",
    "link_text_color_active": "accent",
    "link_text_color_hover": "accent-strong",
    "link_text_color_visited": "accent",
    "code_background_fill": "well",
    "block_background_fill": "card",
    "block_border_color": "line",
    "block_info_text_color": "quiet",
    "block_label_background_fill": "card",
    "block_label_border_color": "line",
    "block_label_text_color": "quiet",
    "block_title_text_color": "ink",
    "panel_background_fill": "card",
    "panel_border_color": "line",
    "accordion_text_color": "ink",
    "table_text_color": "ink",
    "table_border_color": "line",
    "table_even_background_fill": "card",
    "table_odd_background_fill": "card",
    "table_row_focus": "accent-soft",
    "checkbox_background_color": "card",
    "checkbox_background_color_focus": "card",
    "checkbox_background_color_hover": "card",
    "checkbox_background_color_selected": "accent",
    "checkbox_border_color": "line-strong",
    "checkbox_border_color_focus": "accent",
    "checkbox_border_color_hover": "accent",
    "checkbox_border_color_selected": "accent",
    "checkbox_label_background_fill": "card",
    "checkbox_label_background_fill_hover": "well",
    "checkbox_label_background_fill_selected": "accent-soft",
    "checkbox_label_border_color": "line",
    "checkbox_label_border_color_hover": "line-strong",
    "checkbox_label_border_color_selected": "accent",
    "checkbox_label_text_color": "ink",
    "checkbox_label_text_color_selected": "ink",
    "error_background_fill": "bad-soft",
    "error_border_color": "bad",
    "error_text_color": "bad",
    "error_icon_color": "bad",
    "input_background_fill": "card",
    "input_background_fill_focus": "card",
    "input_background_fill_hover": "card",
    "input_border_color": "line-strong",
    "input_border_color_focus": "accent",
    "input_border_color_hover": "line-strong",
    "input_placeholder_color": "quiet",
    "loader_color": "accent",
    "slider_color": "accent",
    "stat_background_fill": "accent-soft",
    "button_primary_background_fill": "accent",
    "button_primary_background_fill_hover": "accent-strong",
    "button_primary_border_color": "accent",
    "button_primary_border_color_hover": "accent-strong",
    "button_primary_text_color": "on-accent",
    "button_primary_text_color_hover": "on-accent",
    "button_secondary_background_fill": "card",
    "button_secondary_background_fill_hover": "well",
    "button_secondary_border_color": "line-strong",
    "button_secondary_border_color_hover": "line-strong",
    "button_secondary_text_color": "accent",
    "button_secondary_text_color_hover": "accent-strong",
    "button_cancel_background_fill": "card",
    "button_cancel_background_fill_hover": "bad-soft",
    "button_cancel_border_color": "line-strong",
    "button_cancel_border_color_hover": "bad",
    "button_cancel_text_color": "bad",
    "button_cancel_text_color_hover": "bad",
}
_FLAT = (
    "shadow_drop", "shadow_inset", "shadow_spread", "block_shadow", "block_label_shadow", "checkbox_shadow",
    "checkbox_label_shadow", "checkbox_label_shadow_hover", "checkbox_label_shadow_active", "input_shadow",
    "button_primary_shadow", "button_primary_shadow_hover", "button_primary_shadow_active",
    "button_secondary_shadow", "button_secondary_shadow_hover", "button_secondary_shadow_active",
    "button_cancel_shadow", "button_cancel_shadow_hover", "button_cancel_shadow_active",
)  # fmt: skip
_MEASURES = {
    "color_accent": "var(--hone-accent)",
    "body_text_size": "14px",
    "block_border_width": "0px",
    "block_padding": "0px",
    "block_label_text_size": "13px",
    "block_title_text_size": "13px",
    "block_title_text_weight": "550",
    "block_info_text_size": "12px",
    "block_title_background_fill": "none",
    "block_title_border_width": "0px",
    "block_title_padding": "0px",
    "block_label_border_width": "0px",
    "layout_gap": "16px",
    "form_gap_width": "16px",
    "input_border_width": "1px",
    "input_padding": "7px 10px",
    "input_text_size": "14px",
    "input_shadow_focus": "0 0 0 3px var(--hone-accent-soft)",
    "checkbox_label_padding": "6px 10px",
    "checkbox_label_text_size": "14px",
    "section_header_text_size": "14px",
    "shadow_drop_lg": "var(--hone-shadow)",
    "button_border_width": "1px",
    "button_large_padding": "8px 16px",
    "button_large_text_size": "14px",
    "button_large_text_weight": "550",
    "button_medium_padding": "6px 12px",
    "button_medium_text_size": "14px",
    "button_medium_text_weight": "550",
    "button_small_padding": "4px 8px",
    "button_small_text_size": "13px",
    "button_small_text_weight": "550",
    "button_transition": "background 120ms, border-color 120ms",
}


def theme() -> Base:
    """The one theme of the product."""
    base = Base(
        primary_hue=_ACCENT,
        secondary_hue=_ACCENT,
        neutral_hue=_NEUTRAL,
        radius_size=_RADIUS,
        font=[Font("system-ui"), Font("-apple-system"), Font("Segoe UI"), Font("Roboto"), Font("sans-serif")],
        font_mono=[Font("ui-monospace"), Font("SFMono-Regular"), Font("Menlo"), Font("Consolas"), Font("monospace")],
    )
    colours = {variable: f"var(--hone-{token})" for variable, token in _TOKENS.items()}
    light = {**colours, **_MEASURES, **dict.fromkeys(_FLAT, "none")}
    themed: Base = base.set(**light, **{f"{name}_dark": value for name, value in colours.items()})
    return themed
