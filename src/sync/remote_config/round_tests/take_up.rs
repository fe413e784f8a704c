//! What goes from a site to the centre.

use super::*;

#[test]
fn what_the_centre_lacks_is_taken_up() {
    let mut scene = Scene::new();
    scene.at_site(&agent(1), b"uploaded");
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list", "fetch md5", "fetch conf", "publish conf"]);
    assert_eq!(report, ConfigReport { taken_up: one(agent(1)), ..ConfigReport::default() });
    scene.assert_same(&agent(1), b"uploaded");
    let (steps, report) = scene.run();
    assert_eq!(steps, ["list"], "it is in step from now on");
    assert_eq!(report, ConfigReport { in_step: 1, ..ConfigReport::default() });
}

#[test]
fn an_upload_that_is_not_whole_waits() {
    for (content, md5) in
        [("", "d41d8cd98f00b204e9800998ecf8427e"), ("uploaded", "half"), ("x", "d41d8cd98f00b204e9800998ecf8427e")]
    {
        let mut scene = Scene::new();
        scene.site.put(&agent(1).content_name().to_string(), content.as_bytes()).unwrap();
        scene.site.put(&agent(1).md5_name().to_string(), md5.as_bytes()).unwrap();
        let (_, report) = scene.run();
        assert_eq!(report, ConfigReport { waiting: one(agent(1)), ..ConfigReport::default() });
        assert_eq!(scene.directory.scan(), Centre::default());
    }
}

#[test]
fn what_the_centre_would_not_publish_is_reported() {
    let mut scene = Scene::new();
    scene.at_site(&agent(1), b"uploaded");
    let (_, report) = scene.run_with(|step, _, directory| {
        if step == 3 {
            directory.set(&agent(1), b"edited meanwhile");
        }
    });
    assert_eq!(report.unpublished, one((agent(1), "it is there by now".to_owned())));
    assert!(scene.in_step.is_empty());
    scene.run();
    scene.assert_same(&agent(1), b"edited meanwhile");
}

#[test]
fn a_collection_is_not_taken_up() {
    let mut scene = Scene::new();
    scene.both(&agent(1), ASKING);
    scene.at_site(&collection(), b"zip");
    assert_eq!(scene.run().0, ["list"]);
}
