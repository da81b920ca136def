/* SPDX-License-Identifier: BSD-2-Clause */
#include "mask/body.h"

void mask_body_start(struct mask_body *b, const uint8_t *key, struct mask_word *word,
                     struct bytes type, char first, bool foreign, unsigned rules)
{
	b->form = mask_form_of(type, first, foreign);
	if (b->form == FORM_XML) {
		mask_xml_start(&b->xml, key, word);
	} else if (b->form == FORM_FRAMES) {
		mask_frames_start(&b->frames, key, word);
	} else {
		mask_json_start(&b->json, key, word, b->form);
		b->json.foreign = foreign;
		b->json.rules = foreign ? rules : 0;
	}
}

void mask_body_feed(struct mask_body *b, char *p, size_t n)
{
	if (b->form == FORM_XML)
		mask_xml_feed(&b->xml, p, n);
	else if (b->form == FORM_FRAMES)
		mask_frames_feed(&b->frames, p, n);
	else
		mask_json_feed(&b->json, p, n);
}

void mask_body_gap(struct mask_body *b, uint64_t n)
{
	if (b->form == FORM_XML)
		mask_xml_gap(&b->xml);
	else if (b->form == FORM_FRAMES)
		mask_frames_gap(&b->frames, n);
	else
		mask_json_gap(&b->json);
}

void mask_body_end(struct mask_body *b, bool complete)
{
	if (b->form == FORM_XML)
		mask_xml_end(&b->xml);
	else if (b->form == FORM_FRAMES)
		mask_frames_end(&b->frames);
	else
		mask_json_end(&b->json, complete);
}
